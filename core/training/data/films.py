# SPDX-License-Identifier: GPL-3.0-or-later
"""Acted films with a known emotion, whatever corpus they come from, and the faces tracked in them.

To train on one: ``core.training.data.track`` writes its points into the cache, and :func:`faces`
gives the face tracks of each record back, fitted against the speaker's own rest, beside the sound
(``Record.sound``), the emotion (``Record.weights``) and the split (:func:`held_out`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ...arkit import EMOTIONS
from ...files import read_made
from ...tracks import FaceTracks
from .grid import TRACK_AGAIN, held_out_names

LOST: Final = 0.1
"""A film with more frames without a face than this is dropped."""


@dataclass(frozen=True)
class Record:
    """One utterance of one actor."""

    corpus: str
    name: str
    """unique in the corpus"""
    sound: Path
    film: Path | None
    speaker: str
    """unique over all corpora"""
    emotion: str
    """of ``EMOTIONS``"""
    intensity: float | None
    """above 0, to 1; None where the corpus does not tell"""
    sentence: str
    """what is said, or the number of the sentence where the corpus gives no text"""

    @property
    def tracked(self) -> str:
        """Where the film's points lie in the training cache."""
        return f"tracked/{self.corpus}/{self.name}.npz"

    def weights(self) -> npt.NDArray[np.float32]:
        """(8,) emotion weights; what the intensity leaves of 1 is neutral."""
        strength = 1.0 if self.intensity is None else self.intensity
        out = np.zeros(len(EMOTIONS), np.float32)
        out[EMOTIONS.index(self.emotion)] = strength
        out[EMOTIONS.index("neutral")] += 1 - strength
        return out


def held_out(records: Iterable[Record]) -> set[str]:
    """The speakers never trained on: every fifth, whole, so that no voice or face is on both sides."""
    return held_out_names(sorted({r.speaker for r in records}))


def faces(records: Iterable[Record], cache: Path) -> Iterator[tuple[Record, FaceTracks]]:
    """Records whose film is tracked in the cache, each with its face tracks.

    A speaker's rest is learnt from the neutral films, from all where there are none: a smile that
    lasts a whole film is no rest.
    """
    from ...tracking.tracker import Person, to_tracks

    def speaker(record: Record) -> str:
        return record.speaker

    for _, group in groupby(sorted(records, key=speaker), key=speaker):
        films = {}
        for record in group:
            path = cache / record.tracked
            if path.exists():
                film = read_made(path, TRACK_AGAIN)
                if np.isnan(film["points"][:, 0, 0]).mean() <= LOST:
                    films[record] = film
        if films:
            calm = [f for r, f in films.items() if r.emotion == "neutral"] or list(films.values())
            person = Person.of(calm)
            for record, film in films.items():
                tracks = to_tracks(film, person=person)
                emotion = np.tile(record.weights(), (len(tracks), 1))
                yield record, replace(tracks, emotion=emotion)
