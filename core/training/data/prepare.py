# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring every corpus into one form: sound, mouth coefficients, phones and speech activity.

Each corpus becomes ``CACHE/prepared/<corpus>.npz``; ``read`` gives its clips back. Tracking and
alignment (``track``, ``align``) come first, in their own environment. A corpus that is in the cache
is left as it is.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from ...arkit import EMOTIONS
from ...audio import SAMPLE_RATE, load
from ...lips import LipMap
from ...phones import KIND_NAMES, SILENCE, Phone, from_sampa, spread
from .clips import Clip, Samples, frame_times, read, write
from .facegood import recordings
from .grid import phones_of, read_phones, tracked_clips
from .lips import compose
from .loudness import loudness
from .recognise import UNTOLD, untranscribed
from .split import is_test
from .synthesis import corpus as synthesised
from .teacher import SHAPES, Teacher, closures, opening, raw_tracks, rest, teach
from .untold import only_sure, unlabelled
from .variants import variants

log = logging.getLogger(__name__)

__all__ = ["CORPORA", "Clip", "frame_times", "loudness", "prepare", "read", "write"]

VARIANTS: Final = {"grid_s1": 5, "emodb": 2, "vctk": 2, "ljspeech": 1, "librispeech": 1, UNTOLD: 1}
"""how many other voices are made of each utterance of a corpus"""
CORPORA: Final = (
    "grid_s1", "grid_other", "emodb", "vctk", "ljspeech", "librispeech", "synthesis", "facegood",
    UNTOLD, *(f"{corpus}_variants" for corpus in VARIANTS),
)  # fmt: skip
_SHUT: Final = 0.02
"""tracked lips nearer than this touch"""
EMODB_EMOTIONS: Final = {"W": "angry", "L": "neutral", "E": "disgusted", "A": "fear", "F": "happy",
                         "T": "sad", "N": "neutral"}  # fmt: skip


def feeling(clip: Clip) -> int:
    """Index of the emotion with which a clip is said, -1 where unknown."""
    letter = clip.name[5:6] if clip.speaker.startswith("emodb") else ""
    return EMOTIONS.index(EMODB_EMOTIONS[letter]) if letter else -1


def _clip(
    name: str, speaker: str, samples: Samples, phones: list[Phone],
    mouth: npt.NDArray[np.float64], held_out: bool = False,
) -> Clip:  # fmt: skip
    times = frame_times(samples)
    kind = np.full(len(times), KIND_NAMES.index(SILENCE), np.int8)
    for p in phones:
        kind[(times >= p.start) & (times < p.end)] = KIND_NAMES.index(p.kind)
    shut = opening(times, closures(phones), ramp=0.01) == 0
    return Clip(name, speaker, samples, mouth.astype(np.float32), kind,
                rest(times, phones).astype(np.float32), shut, held_out)  # fmt: skip


def grid(data: Path, cache: Path, teacher: Teacher, lips: LipMap, speaker: str) -> Iterator[Clip]:
    """Tracked lips and jaw; what a camera in front does not show comes from the teacher."""
    folder = data / ("grid_s1/video" if speaker == "s1" else "grid_other")
    for clip in tracked_clips(cache, speaker, lips):
        samples = load(folder / f"{clip.name}.mpg")
        times = frame_times(samples)
        awake = rest(times, clip.phones)
        seen = {n: CubicSpline(clip.times, getattr(clip, n))(np.minimum(times, clip.times[-1]))
                for n in ("gap", "jaw", "width")}  # fmt: skip
        guess = raw_tracks(teacher, times, clip.phones)
        extras = {n: np.maximum(guess[n], 0) * awake for n in SHAPES}
        extras["upper_roll"] = 0.5 * extras["roll"] * (seen["gap"] < 0.02)
        mouth = compose(lips, np.maximum(seen["gap"], 0) * awake, np.maximum(seen["jaw"], 0) * awake,
                        seen["width"] * awake, extras)  # fmt: skip
        who = "grid-s1" if speaker == "s1" else f"grid-{clip.name}"
        made = _clip(clip.name, who, samples, clip.phones, mouth, clip.held_out)
        yield replace(made, closed=made.closed & (seen["gap"] < _SHUT))  # the film knows better


def emodb_phones(path: Path, length: float) -> list[Phone]:
    """Hand-made labels up to ``length`` seconds; a stop ends at its release and a little after."""
    rows = []
    for line in path.read_text("latin-1").splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[1] == "-1":
            label = fields[2] if len(fields) > 2 and fields[2][0] not in "+-" else ""
            rows.append((float(fields[0]), label.removeprefix("_")))
    phones: list[Phone] = []
    for (start, label), (end, _) in zip(rows, [*rows[1:], (length, "")]):
        end = min(end, length)
        if end <= start:
            continue
        kinds = from_sampa(label)
        if kinds:
            phones += spread(kinds, start, end)
        elif phones:  # a release, breath or mark belongs to the sound before it
            phones[-1] = phones[-1]._replace(end=end)
    first = phones[0].start if phones else length
    return [Phone(SILENCE, 0.0, first), *phones]


def emodb(data: Path, teacher: Teacher, lips: LipMap) -> Iterator[Clip]:
    """Hand-labelled emotional German under the teacher; a file of labels may be empty."""
    for path in sorted((data / "emodb/audio").glob("*.flac")):
        samples = load(path)
        phones = emodb_phones(data / "emodb/phones" / f"{path.stem}.lablaut", len(samples) / SAMPLE_RATE)
        if len(phones) > 1:
            yield _taught(path.stem, f"emodb-{path.stem[:2]}", samples, phones, teacher, lips)


def read_aloud(
    data: Path, cache: Path, corpus: str, teacher: Teacher, lips: LipMap
) -> Iterator[Clip]:
    """Aligned readers of VCTK, LJ Speech or LibriSpeech under the teacher."""
    folder = data / "speech" / corpus
    with open(folder / "transcripts.tsv", encoding="utf-8") as file:
        speakers = {Path(r["file"]).stem: r["speaker"] for r in csv.DictReader(file, delimiter="\t")}
    for path in sorted((cache / "aligned" / corpus).glob("*.json")):
        samples = load(next(folder.rglob(f"{path.stem}.flac")))
        yield _taught(path.stem, f"{corpus}-{speakers[path.stem]}", samples, read_phones(path), teacher, lips)


def _taught(
    name: str, speaker: str, samples: Samples, phones: list[Phone], teacher: Teacher, lips: LipMap
) -> Clip:
    times = frame_times(samples)
    return _clip(name, speaker, samples, phones,
                 teach(teacher, lips, times, phones, loudness(samples, times)))  # fmt: skip


def untold(data: Path, cache: Path, teacher: Teacher, lips: LipMap) -> Iterator[Clip]:
    """Readers without text, under the teacher where it is known what they say."""
    for reader, path in untranscribed(data):
        samples, speaker = load(path), f"{UNTOLD}-{reader}"
        rows = json.loads((cache / "recognised" / UNTOLD / f"{path.stem}.json").read_text("utf-8"))
        if not rows:
            yield unlabelled(path.stem, speaker, samples)
            continue
        yield only_sure(_taught(path.stem, speaker, samples, phones_of(rows), teacher, lips),
                        [(start, end, sure) for _, start, end, sure in rows])  # fmt: skip


def texts(data: Path) -> list[str]:
    """English sentences of 4 to 20 words from the transcripts, for the synthesised voices."""
    found = []
    for corpus in ("vctk", "ljspeech", "librispeech"):
        with open(data / "speech" / corpus / "transcripts.tsv", encoding="utf-8") as file:
            found += [r["text"] for r in csv.DictReader(file, delimiter="\t")]
    return sorted({t for t in found if t and 4 <= len(t.split()) <= 20})


def synthesis(data: Path, teacher: Teacher, lips: LipMap, seed: int) -> Iterator[Clip]:
    """Synthesised speech under the teacher."""
    for number, (voice, samples, phones) in enumerate(synthesised(texts(data), seed)):
        yield _taught(f"{number:04d}", voice, samples, phones, teacher, lips)


def prepare(data: Path, cache: Path, seed: int) -> None:
    """Write every prepared corpus that is not in the cache yet."""
    teacher, lips = Teacher.fitted(), LipMap.from_head()
    sources: dict[str, Callable[[], Iterator[Clip]]] = {
        "grid_s1": lambda: grid(data, cache, teacher, lips, "s1"),
        "grid_other": lambda: grid(data, cache, teacher, lips, "other"),
        "emodb": lambda: emodb(data, teacher, lips),
        "synthesis": lambda: synthesis(data, teacher, lips, seed),
        "facegood": lambda: recordings(data, lips),
        UNTOLD: lambda: untold(data, cache, teacher, lips),
    }
    for corpus in CORPORA:
        target = cache / "prepared" / f"{corpus}.npz"
        if target.exists():
            continue
        origin = corpus.removesuffix("_variants")
        if origin != corpus:
            known = [c for c in read(cache / "prepared" / f"{origin}.npz") if not is_test(c)]
            clips = list(variants(known, VARIANTS[origin], seed))
        elif corpus in sources:
            clips = list(sources[corpus]())
        else:
            clips = list(read_aloud(data, cache, corpus, teacher, lips))
        write(target, clips)
        seconds = sum(len(c.samples) for c in clips) / SAMPLE_RATE
        log.info("prepared %s: %d clips, %.1f min", corpus, len(clips), seconds / 60)
