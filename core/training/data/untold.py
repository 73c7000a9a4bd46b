# SPDX-License-Identifier: GPL-3.0-or-later
"""Voices whose text nobody has written down and whose face was not filmed.

What a recogniser with a language model is sure to hear in them gives their phones; the rest the network
tells itself, in rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, gaussian_filter1d

from ...arkit import EXPRESSION_NAMES
from ...prosody import NAMES, prosody
from ...prosody import RATE as PROSODY_RATE
from .clips import UNKNOWN_KIND, Clip, Samples, frame_times
from .recognise import UNTOLD

_SURE: Final = 0.4
"""probability of a word from which on its phones are believed: nine frames in ten are right then, where
readers are heard clearly (``recognise``)"""
_MARGIN: Final = 4
"""frames over which what is known gives way to what is not"""


def is_untold(clip: Clip) -> bool:
    """Whether nobody has told what is said in a clip, and how the mouth moves."""
    return clip.speaker.startswith(UNTOLD)


def heard(samples: Samples) -> npt.NDArray[np.float64]:
    """(T,) 1 where a voice is heard, 0 in its pauses, with soft edges; T as of the coefficients."""
    speaking = prosody(samples)[:, NAMES.index("speaking")]
    return np.interp(frame_times(samples), np.arange(len(speaking)) / PROSODY_RATE, speaking)


def unlabelled(name: str, speaker: str, samples: Samples) -> Clip:
    """A clip of which only the sound is known."""
    frames = len(frame_times(samples))
    return Clip(
        name, speaker, samples, np.zeros((frames, len(EXPRESSION_NAMES)), np.float32),
        np.full(frames, UNKNOWN_KIND, np.int8), heard(samples).astype(np.float32),
        np.zeros(frames, np.bool_), False,
    )  # fmt: skip


def only_sure(clip: Clip, rows: Sequence[tuple[float, float, float]]) -> Clip:
    """A clip whose phones were recognised, without what is doubtful among them.

    Args:
        clip: with the mouth and the kinds of all that was recognised
        rows: start, end (seconds) and probability of each phone

    """
    times = frame_times(clip.samples)
    doubtful = np.zeros(len(times), np.bool_)
    for start, end, probability in rows:
        if probability < _SURE:
            doubtful |= (times >= start) & (times < end)
    return replace(clip, kind=np.where(doubtful, UNKNOWN_KIND, clip.kind).astype(np.int8),
                   closed=clip.closed & ~doubtful)  # fmt: skip


def certainty(kind: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """(T,) 1 well within what is known, 0 where it is not, with soft edges."""
    known = binary_erosion(kind != UNKNOWN_KIND, iterations=_MARGIN, border_value=1)
    soft = gaussian_filter1d(known.astype(np.float64), _MARGIN / 2)
    return np.asarray(np.where(kind == UNKNOWN_KIND, 0.0, soft))
