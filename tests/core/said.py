# SPDX-License-Identifier: GPL-3.0-or-later
"""Things said, for tests: phones in a row and the mouth that the teacher gives them."""

from __future__ import annotations

import numpy as np

from core.phones import Phone
from core.training.data.teacher import teach


def say(*kinds, each=0.12, pause=0.5):
    """Phones of equal length between two silences."""
    phones, at = [Phone("SIL", 0.0, pause)], pause
    for kind in kinds:
        phones.append(Phone(kind, at, at + each))
        at += each
    return [*phones, Phone("SIL", at, at + pause)]


def mouth(teacher, lips, phones, loud=1.0):
    times = np.arange(0, phones[-1].end, 0.02)
    return times, teach(teacher, lips, times, phones, np.full_like(times, loud))
