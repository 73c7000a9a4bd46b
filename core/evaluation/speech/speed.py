# SPDX-License-Identifier: GPL-3.0-or-later
"""How long ``core animate`` takes on real speech, as ``core bench`` measures it."""

from __future__ import annotations

import numpy as np

from ...audio import SAMPLE_RATE
from ...bench import voice_rows
from ..table import Row
from .voices import Bench, Samples


def speech(bench: Bench, seconds: float) -> Samples:
    """So much real speech, from the start again where the data end."""
    voice = np.concatenate([c.samples for c in bench.clips("librispeech")])
    return np.resize(voice, round(seconds * SAMPLE_RATE))


def rows(bench: Bench) -> list[Row]:
    """The speed's part of the table."""
    return voice_rows(lambda seconds: speech(bench, seconds), progress=bench.progress)
