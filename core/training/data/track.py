# SPDX-License-Identifier: GPL-3.0-or-later
"""Track the films of the corpora: 478 face points a picture, written to the training cache.

Runs in the tracker's environment (``python3 -m installer setup --tracker``)::

    python -m core.training.data.track --data shared/data --cache CACHE
    python -m core.training.data.track --mead MEAD --crema-d CREMA-D --cache CACHE
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

from ...tracking.film import save, track_film
from .crema_d import records as crema_d
from .mead import records as mead

log = logging.getLogger(__name__)


def grid_films(data: Path) -> Iterator[tuple[Path, str]]:
    """Films of ``grid_s1`` and ``grid_other`` and where their points go in the cache."""
    for path in sorted((data / "grid_s1/video").glob("*.mpg")):
        yield path, f"tracked/s1/{path.stem}.npz"
    for path in sorted((data / "grid_other").glob("*.mpg")):
        yield path, f"tracked/other/{path.stem}.npz"


def main(argv: list[str] | None = None) -> int:
    """Track every film that is not in the cache yet."""
    parser = argparse.ArgumentParser(prog="core.training.data.track", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds grid_s1 and grid_other")
    parser.add_argument("--mead", type=Path, help="folder that holds MEAD's M003 and so on")
    parser.add_argument("--crema-d", type=Path, help="folder that holds AudioWAV and VideoFlash")
    parser.add_argument("--cache", type=Path, required=True, help="where the points are written")
    args = parser.parse_args(argv)
    films = list(grid_films(args.data)) if args.data else []
    records = mead(args.mead) if args.mead else []
    records += crema_d(args.crema_d) if args.crema_d else []
    films += [(r.film, r.tracked) for r in records if r.film is not None]
    for number, (film, place) in enumerate(films, 1):
        target = args.cache / place
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        save(track_film(film), target)
        log.info("tracked %s (%d of %d)", film.name, number, len(films))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
