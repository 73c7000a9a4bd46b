# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is kept for testing."""

from __future__ import annotations

from typing import Final

from .clips import Clip

TEST_SPEAKERS: Final = ("emodb-08", "emodb-11", "vctk-p228", "librispeech-1688", "flite-awb",
                        "espeak-it+f5", "espeak-it+m4")  # fmt: skip
"""never trained on; GRID's held-out clips and its other speakers besides"""


def is_test(clip: Clip) -> bool:
    """Whether a clip is kept for testing."""
    return clip.held_out or clip.speaker in TEST_SPEAKERS
