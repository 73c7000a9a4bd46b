# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's avatar driven by the held-out clips' sound instead of their pictures.

The face (all of the expression track: mouth, jaw, cheeks, brows) is what ``core animate`` makes of the clip's
sound at neutral emotion, taken at the frames' instants. Head pose, gaze and blinks stay the film's: nothing in the sound
tells where the head was, and the lips are to be compared where they are. The mean mouth is the same with the
mean face of the training frames, held still: what one gets without listening.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ...arkit import ARKIT_NAMES, EXPRESSION_NAMES
from ...errors import UserError
from ...pipeline import animate
from ...progress import Progress
from ...protocol import AnimateParams
from ...tracks import FaceTracks
from ...training.head_data import Array, RenderSet
from .frames import Maker, Rows
from .mouth import Film, Points

_FACE: Final = [ARKIT_NAMES.index(n) for n in EXPRESSION_NAMES]
_RATE: Final = 50
"""Frames a second of the tracks, the network's own."""
_BLOCK: Final = 16
"""Frames that are in memory at once."""

Voice = Callable[[Path], FaceTracks]
"""Tracks of a film's sound."""


def by_sound(data: RenderSet, numbers: Sequence[int], films: Path | None, voice: Voice) -> Rows:
    """Rows of these frames with the face that the sound gives.

    Args:
        data: a set made from films.
        numbers: of the frames.
        films: where the films are, if not where the set says.
        voice: animates a film's sound.

    Raises:
        UserError: a film is not there.

    """
    rows = data.rows(numbers)
    arkit = rows["arkit"].copy()
    which, times = rows["film"], rows["time"]
    for film in np.unique(which):
        mine = np.nonzero(which == film)[0]
        tracks = voice(_place(data, int(film), films))
        arkit[mine[:, None], _FACE] = sampled(tracks, times[mine])
    return rows | {"arkit": arkit}


def by_nothing(data: RenderSet, numbers: Sequence[int]) -> Rows:
    """Rows of these frames with the training frames' mean face."""
    rows = data.rows(numbers)
    arkit = rows["arkit"].copy()
    arkit[:, _FACE] = data.rows(data.split()[0])["arkit"][:, _FACE].mean(0)
    return rows | {"arkit": arkit}


def animated(film: Path) -> FaceTracks:
    """The sound of a film at neutral emotion."""
    return animate(AnimateParams(voice=str(film), output="", fps=(_RATE, 1)))


def sampled(tracks: FaceTracks, times: Array) -> Array:
    """(N, 42) expression at these seconds, in the order of ``EXPRESSION_NAMES``."""
    columns = [tracks.expression[:, tracks.expression_names.index(n)] for n in EXPRESSION_NAMES]
    at = tracks.times()
    return np.stack([np.interp(times, at, c) for c in columns], 1).astype(np.float32)


def lips_of(maker: Maker, rows: Rows, scratch: Path, progress: Progress) -> Points:
    """Where the tracker sees the lips of the frames that these rows make."""
    film = Film(scratch, maker.size)
    count = len(rows["arkit"])
    for first in range(0, count, _BLOCK):
        progress("frames", first, count)
        film.add(maker.make({n: v[first : first + _BLOCK] for n, v in rows.items()}))
    progress("frames", count, count)
    return film.lips(progress)


def _place(data: RenderSet, film: int, folder: Path | None) -> Path:
    said = Path(data.info.films[film])
    path = said if folder is None else folder / said.name
    if not path.is_file():
        raise UserError(f"There is no film '{path}' to listen to.",
                        "Say with --films in which folder the set's films are.")  # fmt: skip
    return path
