# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the figures are taken from, and the face as users get it.

The face is what ``core animate`` gives with its dials untouched and ``core measure`` sees: seed 0,
temperature 1, closed and still in silence. Where a figure is of the mean, it says temperature 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ...arkit import EXPRESSION_NAMES
from ...emotion_curve import constant
from ...errors import UserError
from ...head.model import HeadModel
from ...lips import LipMap
from ...models.expression import ExpressionModel, coefficient_count
from ...mouth import RATE
from ...progress import Progress
from ...training.data.prepare import Clip, read

Array = npt.NDArray[np.float64]
Samples = npt.NDArray[np.float32]

HEADINGS: Final = {
    "grid_s1": "GRID s1, clips held out", "grid_other": "GRID, speakers never trained on",
    "vctk": "VCTK, speakers never trained on", "librispeech": "LibriSpeech, speakers never trained on",
}  # fmt: skip
"""of the corpora that several parts judge"""
_REAL: Final = ("emodb", "grid_s1", "librispeech", "vctk")
"""corpora of real voices from which a few clips stand for all"""


class Face(NamedTuple):
    """A face at 50 Hz from time 0; lengths in distances between the outer eye corners."""

    expression: Array
    """(T, 42)"""
    gap: Array
    """(T,) opening of the lips, as ``lip_gap`` of ``core measure``"""
    width: Array
    """(T,) distance of the mouth corners, as ``lip_width``"""


class Player:
    """A generator and the built-in head's lips."""

    def __init__(self, model: ExpressionModel) -> None:
        self.model, self.lips = model, LipMap.from_head()
        head = HeadModel.load()
        left, right = (head.landmark(f"lip_corner_{side}") for side in ("left", "right"))
        outer = [head.vertices[head.landmark(f"eye_outer_{side}")] for side in ("left", "right")]
        unit = np.linalg.norm(outer[0] - outer[1]).astype(np.float64)
        moved = head.shape_deltas[[head.shape_names.index(n) for n in EXPRESSION_NAMES]].astype(np.float64)
        self._corners = (moved[:, left] - moved[:, right]) / unit
        self._corners_at_rest = (head.vertices[left] - head.vertices[right]).astype(np.float64) / unit

    def play(
        self, samples: Samples, emotion: Mapping[str, float] | None = None, *, seed: int = 0,
        temperature: float = 1.0,
    ) -> Face:  # fmt: skip
        """Animate a voice under constant emotion weights, as ``core animate --emotion`` takes them."""
        steps = np.arange(coefficient_count(len(samples))) / RATE
        weights = constant(dict(emotion or {})).at(steps)
        face = self.model.predict(samples, weights.astype(np.float32), seed=seed,
                                  temperature=temperature).expression  # fmt: skip
        return self.seen(face.astype(np.float64))

    def seen(self, face: Array) -> Face:
        """What ``core measure`` sees of coefficients (T, 42)."""
        corners = face @ self._corners + self._corners_at_rest
        return Face(face, np.maximum(face @ self.lips.gap, 0), np.linalg.norm(corners, axis=1))


@dataclass(frozen=True)
class Split:
    """Who was trained on and who was not: clip names by speaker."""

    train: dict[str, frozenset[str]]
    test: dict[str, frozenset[str]]

    @staticmethod
    def load(path: Path) -> Split:
        """Read what training has written beside its checkpoint.

        Raises:
            UserError: missing, or not such a file.

        """
        try:
            said = json.loads(path.read_text("utf-8"))
            parts = [{who: frozenset(map(str, names)) for who, names in said[part].items()}
                     for part in ("train", "test")]  # fmt: skip
        except FileNotFoundError:
            raise UserError(f"There is no split '{path}' beside the weights.",
                            "'core train expression' writes it; --split names another.") from None  # fmt: skip
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(f"'{path}' does not hold the clips of 'train' and 'test' ({error!r}).",
                            "Train again, or name the right file with --split.") from error  # fmt: skip
        for who in parts[0].keys() & parts[1].keys():
            if both := parts[0][who] & parts[1][who]:
                raise UserError(f"'{path}' trains and tests on '{min(both)}' of '{who}'.",
                                "Figures on it would mean nothing; train again.")  # fmt: skip
        return Split(*parts)

    def tests(self, speaker: str, name: str) -> bool:
        """Whether a clip was kept for testing."""
        return name in self.test.get(speaker, ())

    def trains(self, speaker: str, name: str) -> bool:
        """Whether a clip was trained on."""
        return name in self.train.get(speaker, ())


class Bench:
    """All that the parts of the evaluation need."""

    def __init__(
        self, player: Player, split: Split, data: Path, cache: Path, progress: Progress
    ) -> None:
        self.player, self.split, self.data, self.cache = player, split, data, cache
        self.progress = progress
        self._corpora: dict[str, list[Clip]] = {}

    def clips(self, corpus: str) -> list[Clip]:
        """Every prepared clip of a corpus.

        Raises:
            UserError: it is not there.

        """
        if corpus not in self._corpora:
            path = self.cache / "prepared" / f"{corpus}.npz"
            if not path.is_file():
                raise UserError(f"There is no prepared data '{path}'.",
                                "'core train expression' prepares it; run that first.")  # fmt: skip
            self._corpora[corpus] = read(path)
        return self._corpora[corpus]

    def unseen(self, corpus: str) -> list[Clip]:
        """The clips kept for testing.

        Raises:
            UserError: the split keeps none.

        """
        clips = [c for c in self.clips(corpus) if self.split.tests(c.speaker, c.name)]
        if not clips:
            raise UserError(f"The split keeps no clip of '{corpus}' for testing.",
                            "Use the split that was written with these weights and this cache.")  # fmt: skip
        return clips

    def seen(self, corpus: str) -> list[Clip]:
        """The clips trained on."""
        return [c for c in self.clips(corpus) if self.split.trains(c.speaker, c.name)]

    def few(self, count: int) -> list[Clip]:
        """``count`` unseen clips of each of four corpora of real voices, evenly over each."""
        chosen = []
        for corpus in _REAL:
            clips = self.unseen(corpus)
            at = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
            chosen += [clips[i] for i in at]
        return chosen
