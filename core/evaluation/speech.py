# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the expression generator on voices that it was not trained on.

    core evaluate speech --data shared/data

Definitions (lengths in distances between the outer eye corners; lip opening and width are the
vertical gap and the corner distance of the built-in head, which ``core measure`` gives too):

- r, velocity, width: Pearson correlation with tracked film at lag 0, at the film's frames; medians
  over clips. While speaking: the same r without silences, in which filmed mouths often stand open
  and this one rests. Amplitude: standard deviation of the predicted opening over the tracked one.
- lag: shift of the prediction, -200 to 200 ms, at which r is greatest; positive is late.
- closures: share of /p b m/ in which the opening falls under ``SHUT``; false: share of open vowels
  of 60 ms or more whose median opening does.
- silence: in pauses over 0.3 s, less 0.15 s at both ends, mean square speed of the opening against
  that in speech, and the mean opening.
- emotions: r of the opening at each emotion, weight 1, with the neutral one; closures that stay.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..arkit import EMOTIONS
from ..audio import load
from ..errors import UserError
from ..lips import INDEX, LipMap
from ..models.expression import ExpressionModel, Performance, coefficient_count
from ..mouth import RATE
from ..training.data.grid import TrackedClip, tracked_clips
from ..training.data.lips import KIND_NAMES
from ..training.data.prepare import Clip, read
from ..training.expression import default_cache, is_test

Array = npt.NDArray[np.float64]

SHUT: Final = 0.012
"""lips nearer than this read as closed; open vowels stand at 0.06 to 0.20"""
_OPEN_VOWELS: Final = tuple(KIND_NAMES.index(k) for k in ("AA", "AE", "AH", "AO", "EH"))
_SILENT: Final = KIND_NAMES.index("SIL")
_LAGS: Final = np.arange(-0.2, 0.201, 0.005)


def runs(mask: npt.NDArray[np.bool_], least: int) -> Iterator[slice]:
    """Stretches of True of at least so many frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    for start, end in zip(edges[::2], edges[1::2]):
        if end - start >= least:
            yield slice(int(start), int(end))


def correlation(a: Array, b: Array) -> float:
    """Pearson's r, 0 where one of them does not move."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0


def against_film(
    clips: list[TrackedClip], folder: Path, model: ExpressionModel, lips: LipMap
) -> dict[str, float]:
    """Prediction against tracked film."""
    rows = []
    for clip in clips:
        found = model.predict(load(folder / f"{clip.name}.mpg"), temperature=0.0).speech
        at = np.arange(len(found)) / RATE
        gap, width = found @ lips.gap, found @ lips.width

        def seen(values: Array, lag: float = 0.0, clip: TrackedClip = clip, at: Array = at) -> Array:
            return np.interp(clip.times + lag, at, values)

        shifted = [correlation(seen(gap, lag), clip.gap) for lag in _LAGS]
        rows.append((
            correlation(seen(gap), clip.gap),
            correlation(np.gradient(seen(gap)), np.gradient(clip.gap)),
            correlation(seen(width), clip.width),
            seen(gap).std() / clip.gap.std(),
            1000 * _LAGS[int(np.argmax(shifted))],
            correlation(seen(gap)[clip.speaking > 0.5], clip.gap[clip.speaking > 0.5]),
        ))  # fmt: skip
    middle = np.median(rows, 0)
    lags = np.array(rows)[:, 4]
    names = ("r", "velocity r", "width r", "amplitude", "lag ms", "r while speaking")
    figures = dict(zip(names, map(float, middle)))
    return figures | {"lag spread ms": float(np.subtract(*np.percentile(lags, [75, 25])))}


def closures(gaps: list[Array], clips: list[Clip]) -> tuple[float, float]:
    """Recall of /p b m/, and false closures in open vowels."""
    shut, open_ = [], []
    for gap, clip in zip(gaps, clips):
        for run in runs(clip.closed, 2):
            shut.append(gap[max(run.start - 1, 0) : run.stop + 1].min() < SHUT)
        vowel = np.isin(clip.kind, _OPEN_VOWELS) & (clip.awake > 0.99)
        open_ += [np.median(gap[run]) < SHUT for run in runs(vowel, 3)]
    return float(np.mean(shut)), float(np.mean(open_))


def silence(gaps: list[Array], clips: list[Clip]) -> dict[str, float]:
    """Motion and opening in pauses."""
    still, moving, opening = [], [], []
    edge = round(0.15 * RATE)
    for gap, clip in zip(gaps, clips):
        speed = np.gradient(gap) ** 2
        moving.append(speed[clip.kind != _SILENT])
        for run in runs(clip.kind == _SILENT, round(0.3 * RATE) + 1):
            inside = slice(0 if run.start == 0 else run.start + edge,
                           run.stop if run.stop == len(gap) else run.stop - edge)  # fmt: skip
            still.append(speed[inside])
            opening.append(gap[inside])
    return {"silence motion": float(np.concatenate(still).mean() / np.concatenate(moving).mean()),
            "silence opening": float(np.concatenate(opening).mean())}  # fmt: skip


def emotions(clips: list[Clip], model: ExpressionModel, lips: LipMap) -> dict[str, float]:
    """Lips and brows under each emotion against neutral."""
    found: dict[str, list[Performance]] = {}
    for k, name in enumerate(EMOTIONS):
        found[name] = []
        for clip in clips:
            weights = np.zeros((coefficient_count(len(clip.samples)), len(EMOTIONS)), np.float32)
            weights[:, k] = 1
            found[name].append(model.predict(clip.samples, weights, temperature=0.0))
    gaps = {n: [np.maximum(p.expression @ lips.gap, 0) for p in ps] for n, ps in found.items()}
    figures = {}
    for name in EMOTIONS[1:]:
        same = [correlation(a, b) for a, b in zip(gaps[name], gaps["neutral"])]
        figures[f"{name}: r with neutral"] = float(np.median(same))
        figures[f"{name}: closures"] = closures(gaps[name], clips)[0]
        change = [np.abs(p.expression - p.speech).mean(0) for p in found[name]]
        strongest = np.argsort(-np.mean(change, 0))[:3]
        names = {i: n for n, i in INDEX.items()}
        for i in strongest:
            figures[f"{name}: {names[int(i)]}"] = float(np.mean(change, 0)[i])
    return figures


def seeds(clips: list[Clip], model: ExpressionModel, lips: LipMap) -> dict[str, float]:
    """How far two draws agree on the lips, and differ in the brows."""
    lip, brow = [], []
    for clip in clips:
        weights = np.zeros((coefficient_count(len(clip.samples)), len(EMOTIONS)), np.float32)
        weights[:, EMOTIONS.index("happy")] = 1
        a, b = (model.predict(clip.samples, weights, seed=s).expression for s in (1, 2))
        lip.append(correlation(a @ lips.gap, b @ lips.gap))
        brows = [INDEX[n] for n in ("browInnerUp", "browOuterUpLeft", "cheekSquintLeft")]
        brow.append(np.abs(a - b)[:, brows].mean())
    return {"two seeds: lip r": float(np.median(lip)), "two seeds: brow difference": float(np.mean(brow))}


def evaluate(
    data: Path, cache: Path, model: ExpressionModel, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """All figures, by set of voices; ``say`` is told what is being done."""
    lips = LipMap.from_head()
    table: dict[str, dict[str, float]] = {}
    for title, speaker, folder in (("GRID s1, held-out clips", "s1", "grid_s1/video"),
                                   ("GRID, five other speakers", "other", "grid_other")):  # fmt: skip
        say(title)
        clips = [c for c in tracked_clips(cache, speaker, lips) if c.held_out]
        table[title] = against_film(clips, data / folder, model, lips)
    for title, corpus in (("GRID s1, held-out clips", "grid_s1"),
                          ("GRID, five other speakers", "grid_other"),
                          ("EmoDB, two unseen actors", "emodb"), ("VCTK, unseen speaker", "vctk"),
                          ("LibriSpeech, unseen speaker", "librispeech"),
                          ("synthesised, unseen voices and language", "synthesis")):  # fmt: skip
        say(title)
        heard = [c for c in read(cache / "prepared" / f"{corpus}.npz") if is_test(c)]
        gaps = [model.predict(c.samples, temperature=0.0).speech @ lips.gap for c in heard]
        recall, false = closures(gaps, heard)
        table.setdefault(title, {}).update({"closures": recall, "false closures": false})
        if corpus in ("grid_s1", "librispeech"):
            table[title] |= silence(gaps, heard)
        if corpus == "librispeech":
            say("emotions")
            few = heard[:4]
            table["eight emotions, unseen speaker"] = emotions(few, model, lips)
            table["eight emotions, unseen speaker"] |= seeds(few, model, lips)
    table["network"] = {"look-ahead of the lips, s": model.config.lip_look_ahead,
                        "look-ahead of the expression, s": model.config.context / RATE,
                        "million parameters": sum(p.numel() for p in model.network.parameters()) / 1e6}  # fmt: skip
    return table


TARGETS: Final = {
    "GRID s1, held-out clips": {"r": ">= .93", "velocity r": ">= .80", "width r": ">= .60",
                                "amplitude": ".9 to 1.1", "lag ms": "-10 to 10", "closures": ">= .97",
                                "false closures": "<= .05", "lag spread ms": "<= 20",
                                "silence motion": "<= .05"},
    "GRID, five other speakers": {"r": ">= .80", "velocity r": ">= .70", "width r": ">= .50",
                                  "amplitude": ".9 to 1.1", "lag ms": "-10 to 10"},
    "EmoDB, two unseen actors": {"closures": ">= .90", "false closures": "<= .05"},
    "LibriSpeech, unseen speaker": {"silence motion": "<= .05"},
    "synthesised, unseen voices and language": {"closures": ">= .85", "false closures": "<= .08"},
}  # fmt: skip


def lines(table: dict[str, dict[str, float]]) -> list[str]:
    """The table as text, the target beside each figure that has one."""
    out = []
    for title, figures in table.items():
        out.append(title)
        for name, value in figures.items():
            target = TARGETS.get(title, {}).get(name, "")
            out.append(f"  {name:<34}{value:9.3f}  {target}".rstrip())
    return out


def main(argv: list[str] | None = None) -> int:
    """``core evaluate speech``."""
    parser = argparse.ArgumentParser(prog="core evaluate speech", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with grid_s1, grid_other")
    parser.add_argument("--cache", type=Path, default=None, help="folder of the prepared data")
    parser.add_argument("--weights", type=Path, default=None, help="another expression.safetensors")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args(argv)
    cache = args.cache or default_cache()
    if not (cache / "prepared").is_dir():
        raise UserError(f"'{cache}' holds no prepared data.", "Run 'core train expression' first.")
    table = evaluate(args.data, cache, ExpressionModel.load(args.weights), lambda _title: None)
    print("\n".join(lines(table)))
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    return 0
