# SPDX-License-Identifier: GPL-3.0-or-later
"""Closures of /p b m/ and false ones in vowels, on voices that were not trained on.

With g the opening of the lips at 50 Hz and SHUT = 0.012 distances between the outer eye corners:

- recall = share of the labelled closures [s, e) in which min g[s - 1 .. e] < SHUT. A closure spans
  what ``teacher.closures`` makes of a bilabial's label, at least two frames.
- false = share of open vowels (AA, AE, AH, AO, EH) of 60 ms or more with median g < SHUT.

Recall at 25 frames a second counts only the frames that film of that rate would show. Labels are by
hand (EmoDB), exact (synthesised) or aligned (all others).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ...errors import UserError
from ...lips import SHUT
from ...models.expression import ExpressionModel
from ...phones import KIND_NAMES
from ...training.data.prepare import Clip
from ..table import Row, Target, at_least, at_most
from .signals import Array, runs
from .voices import HEADINGS, Bench, Player, Split

_OPEN_VOWELS: Final = tuple(KIND_NAMES.index(k) for k in ("AA", "AE", "AH", "AO", "EH"))
_TARGETS: Final = {"grid_s1": (at_least(0.97), at_most(0.05))}
"""recall and false closures of real voices other than EmoDB's"""


def held(gap: Array, clip: Clip) -> list[bool]:
    """Whether the lips shut in each labelled closure."""
    return [bool(gap[max(run.start - 1, 0) : run.stop + 1].min() < SHUT) for run in runs(clip.closed, 2)]


def held_at_film_rate(gap: Array, clip: Clip) -> list[bool]:
    """The same, seen in every second frame only."""
    return held(np.where(np.arange(len(gap)) % 2, np.inf, gap), clip)


def shut_vowels(gap: Array, clip: Clip) -> list[bool]:
    """Whether the lips are shut in each open vowel."""
    vowel = np.isin(clip.kind, _OPEN_VOWELS) & (clip.awake > 0.99)
    return [bool(np.median(gap[run]) < SHUT) for run in runs(vowel, 3)]


def share(found: list[bool]) -> float:
    """Share of True; nan of none."""
    return float(np.mean(found)) if found else float("nan")


def judged(
    heading: str, player: Player, clips: list[Clip], recall: Target | None, false: Target | None
) -> list[Row]:
    """Rows of one group of clips."""
    return counted(heading, [(player.play(c.samples).gap, c) for c in clips], recall, false)


def counted(
    heading: str, gaps: list[tuple[Array, Clip]], recall: Target | None, false: Target | None
) -> list[Row]:
    """Rows of clips and their openings."""
    closed, coarse, vowels = ([f for gap, clip in gaps for f in of(gap, clip)]
                              for of in (held, held_at_film_rate, shut_vowels))  # fmt: skip
    return [
        Row(heading, "closures: recall", share(closed), recall, note=f"{len(closed)} closures"),
        Row(heading, "closures: recall at 25 frames a second", share(coarse)),
        Row(heading, "closures: false, in open vowels", share(vowels), false, note=f"{len(vowels)} vowels"),
    ]  # fmt: skip


def rows(bench: Bench, emodb_models: Path | None) -> list[Row]:
    """The closures' part of the table."""
    table, done = [], 0

    def tell() -> None:
        nonlocal done
        done += 1
        bench.progress("closures", done, len(HEADINGS) + 3)

    for corpus, heading in HEADINGS.items():
        recall, false = _TARGETS.get(corpus, (None, None))
        table += judged(heading, bench.player, bench.unseen(corpus), recall, false)
        tell()
    table += emodb(bench, emodb_models)
    tell()
    trained = {language(who) for who in bench.split.train if synthesised(who)}
    unseen = bench.unseen("synthesis")
    for heading, clips, least, most in (
        ("synthesised voices never trained on",
         [c for c in unseen if language(c.speaker) in trained], 0.95, 0.05),
        ("a synthesised language never trained on",
         [c for c in unseen if language(c.speaker) not in trained], 0.85, 0.08),
    ):  # fmt: skip
        who = ", ".join(sorted({c.speaker for c in clips}))
        table += judged(f"{heading} ({who})", bench.player, clips, at_least(least), at_most(most))
        tell()
    return table


def emodb(bench: Bench, models: Path | None) -> list[Row]:
    """EmoDB: every actor by a model that never heard him, or those whom the split holds out.

    Args:
        bench: the voices
        models: a folder of folders as ``core train expression --leave-out`` writes them, with
            ``expression.safetensors`` and ``expression-split.json``; of an actor whom the judged network's
            own split holds out, it is the judge

    Raises:
        UserError: there is no model that has not heard an actor.

    """
    if models is None:
        clips = bench.unseen("emodb")
        who = ", ".join(sorted({c.speaker.removeprefix("emodb-") for c in clips}))
        return judged(f"EmoDB, only the actors that the split holds out ({who})", bench.player,
                      clips, at_least(0.90), at_most(0.05))  # fmt: skip
    # Their weights are read when their turn comes.
    rest = [(Split.load(path), path.with_name("expression.safetensors"))
            for path in sorted(models.glob("*/expression-split.json"))]  # fmt: skip
    gaps: list[tuple[Array, Clip]] = []
    for actor in sorted({c.speaker for c in bench.clips("emodb")}):
        clips = [c for c in bench.clips("emodb") if c.speaker == actor]
        if _keeps(bench.split, clips):
            player = bench.player
        else:
            weights = next((w for split, w in rest if _keeps(split, clips)), None)
            if weights is None:
                raise UserError(f"No model in '{models}' has never heard '{actor}'.",
                                f"'core train expression --leave-out {actor} --out {models}/NAME' makes one.")  # fmt: skip
            player = Player(ExpressionModel.load(weights))
        gaps += [(player.play(c.samples).gap, c) for c in clips]
    return counted("EmoDB, each actor by a model that never heard him", gaps, at_least(0.90), at_most(0.05))


def _keeps(split: Split, clips: list[Clip]) -> bool:
    """Whether a split keeps all these clips for testing."""
    return all(split.tests(c.speaker, c.name) for c in clips)


def synthesised(speaker: str) -> bool:
    """Whether a speaker is a synthesiser's voice."""
    return speaker.startswith(("flite-", "espeak-"))


def language(speaker: str) -> str:
    """Two letters of a synthesised voice's language: ``espeak-it+f5`` is ``it``; flite's is ``en``."""
    engine, voice = speaker.split("-", 1)
    return "en" if engine == "flite" else voice[:2]
