# SPDX-License-Identifier: GPL-3.0-or-later
"""FACEGOOD's recordings: a Mandarin voice with the captured mouth and jaw of its performer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ...audio import load
from ...files import read_made
from ...lips import INDEX, LipMap
from .clips import Clip, frame_times
from .lips import compose
from .untold import unlabelled

Array = npt.NDArray[np.float64]

_LATE: Final = 0.022
"""seconds by which the curves run after the sound"""
_WIDE: Final = {"gap": 0.14, "jaw": 0.32}
"""what nine tenths of speech stay under on the built-in head, as with GRID's speaker"""
_EXTRAS: Final = {"pucker": "mouthPucker", "funnel": "mouthFunnel", "roll": "mouthRollLower",
                  "upper_roll": "mouthRollUpper", "press": "mouthPressLeft",
                  "shrug": "mouthShrugUpper"}  # fmt: skip


def captured(file: dict[str, npt.NDArray[np.generic]], name: str, times: Array) -> Array:
    """(T, 42) coefficients of a recording at seconds of its sound; what was not captured is 0."""
    curves = np.asarray(file[name], np.float64)
    at = np.arange(len(curves)) / float(np.asarray(file["fps"], np.float64))
    out = np.zeros((len(times), len(INDEX)))
    for column, label, status in zip(curves.T, file["arkit_names"], file["status"]):
        if str(status) == "valid" and str(label) in INDEX:
            out[:, INDEX[str(label)]] = np.interp(times + _LATE, at, column)
    return out


def to_head(curves: Array, awake: Array, lips: LipMap) -> Array:
    """(T, 42) whose lips open as far as other speakers' do, still where nobody speaks."""
    speech = awake > 0.9

    def scaled(values: Array, wide: float) -> Array:
        low, high = np.percentile(values[speech], (5, 90))
        return np.asarray(np.maximum(values - low, 0) * (wide / (high - low)) * awake)

    gap = scaled(curves @ lips.gap, _WIDE["gap"])
    jaw = scaled(curves[:, INDEX["jawOpen"]], _WIDE["jaw"])
    extras = {n: curves[:, INDEX[label]] * awake for n, label in _EXTRAS.items()}
    return compose(lips, gap, jaw, curves @ lips.width * awake, {**extras, "tongue": np.zeros(len(gap))})


def recordings(data: Path, lips: LipMap) -> Iterator[Clip]:
    """All recordings; phones and closures are not known."""
    file = read_made(data / "facegood/curves_arkit_30fps.npz", "Put it there again, as it came.")
    for path in sorted((data / "facegood").glob("*.flac")):
        clip = unlabelled(path.stem, "facegood-1114", load(path))
        curves = captured(file, path.stem, frame_times(clip.samples))
        mouth = to_head(curves, clip.awake.astype(np.float64), lips)
        yield replace(clip, mouth=mouth.astype(np.float32))
