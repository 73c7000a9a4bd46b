# SPDX-License-Identifier: GPL-3.0-or-later
"""Utterances ready for training, and the files that keep them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...audio import SAMPLE_RATE
from ...files import read_made
from ...mouth import RATE

Samples = npt.NDArray[np.float32]
UNKNOWN_KIND: Final = -1
_ARRAYS: Final = ("name", "speaker", "held_out", "count", "samples", "mouth", "kind", "awake", "closed")


@dataclass(frozen=True)
class Clip:
    """An utterance ready for training."""

    name: str
    speaker: str
    samples: Samples
    """(N,) 16 kHz"""
    mouth: npt.NDArray[np.float32]
    """(T, 42) at 50 Hz, neutral emotion; zeros where nobody knows it (``kind`` is unknown there too)"""
    kind: npt.NDArray[np.int8]
    """(T,) index into KIND_NAMES; ``UNKNOWN_KIND`` where nobody knows"""
    awake: npt.NDArray[np.float32]
    """(T,) 0 in long silences, 1 in speech"""
    closed: npt.NDArray[np.bool_]
    """(T,) a bilabial holds the lips shut"""
    held_out: bool


def frame_times(samples: Samples) -> npt.NDArray[np.float64]:
    """(T,) seconds of each coefficient frame of a voice."""
    return np.arange(len(samples) // (SAMPLE_RATE // RATE) + 1) / RATE


def write(target: Path, clips: list[Clip]) -> None:
    """Write clips end to end, with the length of each."""
    arrays: dict[str, Any] = {
        "name": np.array([c.name for c in clips]), "speaker": np.array([c.speaker for c in clips]),
        "held_out": np.array([c.held_out for c in clips]),
        "count": np.array([len(c.samples) for c in clips]),
        "samples": np.concatenate([np.round(c.samples * 32767).astype(np.int16) for c in clips]),
        "mouth": np.concatenate([c.mouth for c in clips]).astype(np.float16),
    }  # fmt: skip
    arrays |= {n: np.concatenate([getattr(c, n) for c in clips]) for n in ("kind", "awake", "closed")}
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part.npz")
    np.savez(beside, **arrays)
    beside.replace(target)


def read(path: Path) -> list[Clip]:
    """The clips of a prepared corpus.

    Raises:
        UserError: missing or damaged.

    """
    data = read_made(path, "Take it away and run core.training.data.prepare again.", _ARRAYS)
    clips, sample, frame = [], 0, 0
    for i, count in enumerate(data["count"]):
        frames = int(count) // (SAMPLE_RATE // RATE) + 1
        here = slice(frame, frame + frames)
        samples = data["samples"][sample : sample + count].astype(np.float32) / 32767
        clips.append(Clip(
            str(data["name"][i]), str(data["speaker"][i]), samples,
            data["mouth"][here].astype(np.float32), data["kind"][here], data["awake"][here],
            data["closed"][here], bool(data["held_out"][i]),
        ))  # fmt: skip
        sample, frame = sample + int(count), frame + frames
    return clips
