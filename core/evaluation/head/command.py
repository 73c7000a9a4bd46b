# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures an avatar on the frames of its render set that training never saw.

    core evaluate head --avatar DIR --renders SET [--films DIR] [--voice FILE] [--emotions PNG]

One table, the target beside each figure that has one. A set made from footage is judged as footage: its frames
follow each other, a tracker looks at the lips, and the clips' sound drives the avatar once more; a held-out
clip has the look (hair, light) that its first picture is most like (``core.training.head_looks``). A set of a
renderer is judged as a character: how much faster the avatar is, and whether its emotions can be told.
The definitions stand with the parts: ``pictures``, ``frames``, ``mouth``, ``driven`` and ``character``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...arkit import EMOTIONS
from ...avatars import Avatar, find
from ...cli.terminal import reporting
from ...errors import UserError
from ...files import WEIGHTS, check_writable, write_bytes
from ...progress import Progress
from ...tracking.tracker import tracker_python
from ...training.head_data import RenderSet, load_set
from ..table import Row, at_least, at_most, text, to_json
from . import character, driven
from .figures import evaluate, picture_rows
from .frames import Maker, Pictures, held_out
from .mouth import Distance, Film, distance
from .sheets import named_sheet, pose_sheet, sheet

FASTER = 50
"""How many times faster than its renderer a stand-in is to be."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured, and how."""

    avatar: Avatar
    data: RenderSet
    most: int | None
    films: Path | None
    landmarks: bool
    progress: Progress


def main(argv: list[str] | None = None) -> int:
    """``core evaluate head``."""
    args = _parser().parse_args(argv)
    for path in filter(None, (args.json, args.sheet, args.poses, args.emotions)):
        check_writable(path)
    if args.emotions and not args.voice:
        raise UserError("Expected --voice FILE with --emotions.", "Name a neutral voice to drive them with.")
    avatar, data = find(args.avatar), load_set(args.renders)
    with reporting() as progress:
        asked = Asked(avatar, data, args.most, args.films, not args.no_landmarks, progress)
        rows, truth, made = measure(asked)
        if args.emotions:
            frames, apart, pair = character.emotion_frames(avatar, args.voice, progress)
            rows.append(Row("emotions at weight 1, one neutral voice", "least apart, of 255", apart, note=pair))
            write_bytes(args.emotions, named_sheet(frames, EMOTIONS))
    if args.poses:
        write_bytes(args.poses, pose_sheet(avatar))
    if args.sheet:
        write_bytes(args.sheet, sheet(truth, made, min(4, len(truth))))
    if args.json:
        write_bytes(args.json, to_json(rows).encode())
    print(text(rows))
    return 0


def measure(asked: Asked) -> tuple[list[Row], Pictures, Pictures]:
    """The table's rows; true and made frames to show."""
    if asked.data.footage:
        return _footage(asked)
    figures, truth, made = evaluate(asked.avatar, asked.data, asked.most, asked.progress)
    rows = [*picture_rows(figures, footage=False), *_character_rows(asked)]
    return rows, truth, made


def _character_rows(asked: Asked) -> list[Row]:
    numbers = held_out(asked.data, asked.most)
    heading = "time a frame, s"
    pace = character.pace(asked.avatar, asked.data.rows(numbers))
    slow, how = character.renderer_seconds(asked.data, numbers)
    return [
        Row(heading, "tracks to PNG", pace.wall, beside={"processor": pace.processor}),
        Row(heading, "Blender's renderer", slow, note=how),
        Row(heading, "how many times faster", slow / pace.wall, at_least(FASTER),
            {"by processor time": slow * (os.cpu_count() or 1) / pace.processor}),
    ]  # fmt: skip


def _footage(asked: Asked) -> tuple[list[Row], Pictures, Pictures]:
    if not asked.landmarks:
        figures, truth, made = evaluate(asked.avatar, asked.data, asked.most, asked.progress)
        return picture_rows(figures, footage=True), truth, made
    # What could be missing is looked for first: the frames take minutes.
    tracker_python()
    data, numbers = asked.data, held_out(asked.data, asked.most)
    heard = driven.by_sound(data, numbers, asked.films, driven.animated)
    with tempfile.TemporaryDirectory(prefix="gmtalker-") as folder:
        scratch, size = Path(folder), asked.data.info.size
        films = [Film(scratch / name, size) for name in ("truth.y4m", "made.y4m")]

        def watch(truth: Pictures, made: Pictures) -> None:
            films[0].add(truth)
            films[1].add(made)

        figures, truth, made = evaluate(asked.avatar, asked.data, asked.most, asked.progress, watch)
        lips, own = (film.lips(asked.progress) for film in films)
        maker = Maker(asked.avatar)
        by_sound, by_nothing = (
            distance(lips, driven.lips_of(maker, given, scratch / "driven.y4m", asked.progress))
            for given in (heard, driven.by_nothing(data, numbers))
        )
    mouth = _mouth_rows(distance(lips, own), by_sound, by_nothing, _known(data, numbers))
    return [*picture_rows(figures, footage=True), *mouth], truth, made


def _mouth_rows(by_film: Distance, by_sound: Distance, by_nothing: Distance, known: str) -> list[Row]:
    """How far the lips are from the true ones, driven by the film, the sound, and nothing."""
    heading = "mouth landmark distance, px"
    return [
        Row(heading, "driven by the film's tracks", by_film.placed, at_most(1.5),
            {"shape only": by_film.shape}, _lost(by_film.lost)),
        Row(heading, "driven by the clip's sound", by_sound.placed, at_most(by_nothing.placed),
            {"shape only": by_sound.shape}, "; ".join(filter(None, (_lost(by_sound.lost), known)))),
        Row(heading, "the mean mouth", by_nothing.placed, None, {"shape only": by_nothing.shape},
            _lost(by_nothing.lost)),
    ]  # fmt: skip


def _lost(count: int) -> str:
    return f"no face found in {count} frames" if count else ""


def _known(data: RenderSet, numbers: list[int]) -> str:
    """Which of the clips' sounds the expression network that ships was trained on."""
    from ..speech.voices import Split

    split = Split.load(WEIGHTS / "expression-split.json")
    seen = {name for clips in split.train.values() for name in clips}
    names = {Path(data.info.films[int(f)]).stem for f in data.rows(numbers)["film"]}
    return f"the sound of {len(names & seen)} of the {len(names)} clips was trained on"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="core evaluate head", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--avatar", required=True, metavar="NAME", help="an avatar, or its folder")
    parser.add_argument("--renders", type=Path, required=True, metavar="SET", help="its render set")
    parser.add_argument("--films", type=Path, metavar="DIR", help="where the set's films are, if not there any more")
    parser.add_argument("--most", type=int, metavar="N", help="held-out frames at most (all)")
    parser.add_argument("--no-landmarks", action="store_true",
                        help="footage: leave out what needs the face tracker")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="truth and made, side by side")
    parser.add_argument("--poses", type=Path, metavar="PNG", help="what the avatar can do, on a sheet")
    parser.add_argument("--emotions", type=Path, metavar="PNG", help="its eight emotions, on a sheet")
    parser.add_argument("--voice", type=Path, metavar="FILE", help="a neutral voice to drive the emotions with")
    return parser
