# SPDX-License-Identifier: GPL-3.0-or-later
"""Voices of which neither text nor face is known, for a network that teaches itself."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...arkit import EXPRESSION_NAMES
from ...audio import load
from ...prosody import NAMES, prosody
from ...prosody import RATE as PROSODY_RATE
from .clips import UNKNOWN_KIND, Clip, Samples, frame_times

_CORPUS = "librispeech_untold"


def is_untold(clip: Clip) -> bool:
    """Whether nobody knows what is said in a clip, and how the mouth moves."""
    return clip.speaker.startswith(_CORPUS)


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


def untold(data: Path) -> Iterator[Clip]:
    """LibriSpeech's files without text."""
    folder = data / "speech/librispeech"
    with open(folder / "transcripts.tsv", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if not r["text"]]
    for row in sorted(rows, key=lambda r: r["file"]):
        path = next(folder.rglob(row["file"]))
        yield unlabelled(path.stem, f"{_CORPUS}-{row['speaker']}", load(path))
