# SPDX-License-Identifier: GPL-3.0-or-later
"""Forced alignment of the corpora whose text is known: phone times, written to the training cache.

Runs in the face tracker's environment, with ``core/training/requirements-align.txt``::

    python -m core.training.data.align --data shared/data --cache CACHE

Each utterance gives a JSON list of ``[phone, start, end]`` (ARPABET without stress, ``SIL`` between;
seconds), in ``CACHE/aligned/<corpus>/<name>.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

_RATE = 16000
_FRAME = 0.01
_GRID_CODE = {
    0: {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    1: {"b": "blue", "g": "green", "r": "red", "w": "white"},
    2: {"a": "at", "b": "by", "i": "in", "w": "with"},
    4: {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six",
        "7": "seven", "8": "eight", "9": "nine"},
    5: {"a": "again", "n": "now", "p": "please", "s": "soon"},
}  # fmt: skip


class Utterance(NamedTuple):
    """A recording and what is said in it."""

    corpus: str
    path: Path
    text: str


def grid_text(stem: str) -> str:
    """The sentence of a GRID file name: ``brbk7n`` is 'bin red by k seven now'."""
    return " ".join(_GRID_CODE.get(i, {}).get(c, c) for i, c in enumerate(stem))


def utterances(data: Path) -> Iterator[Utterance]:
    """All recordings of the data folder with a known English text."""
    for path in sorted((data / "grid_s1/video").glob("*.mpg")):
        yield Utterance("grid_s1", path, grid_text(path.stem))
    for path in sorted((data / "grid_other").glob("*.mpg")):
        yield Utterance("grid_other", path, grid_text(path.stem))
    for corpus in ("vctk", "ljspeech", "librispeech"):
        with open(data / "speech" / corpus / "transcripts.tsv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        for row in rows:
            if row["text"]:
                path = next((data / "speech" / corpus).rglob(row["file"]))
                yield Utterance(corpus, path, row["text"])


def decode(path: Path) -> bytes:
    """The sound as 16-bit mono at 16 kHz."""
    import av

    resampler = av.AudioResampler("s16", "mono", _RATE)
    pieces = []
    with av.open(os.fspath(path)) as file:
        for frame in file.decode(audio=0):
            pieces += [f.to_ndarray().tobytes() for f in resampler.resample(frame)]
    pieces += [f.to_ndarray().tobytes() for f in resampler.resample(None)]
    return b"".join(pieces)


def align(decoder: Any, sound: bytes, text: str) -> list[tuple[str, float, float]] | None:
    """Phones with start and end, or None where a word is unknown or the sound does not fit."""
    words = align_words(decoder, sound, re.findall(r"[a-z']+", text.lower()))
    return None if words is None else [phone for _, phones in words for phone in phones]


Word = tuple[str, list[tuple[str, float, float]]]
"""a word, or a silence such as ``<sil>``, and its phones with start and end"""


def align_words(decoder: Any, sound: bytes, words: list[str]) -> list[Word] | None:
    """Words and the silences between them, or None where one is unknown or the sound does not fit."""
    if not words or any(decoder.lookup_word(w) is None for w in words):
        return None
    try:
        decoder.set_align_text(" ".join(words))
        for second_pass in (False, True):
            if second_pass:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(sound, full_utt=True)
            decoder.end_utt()
        found = decoder.get_alignment()
    except RuntimeError:
        return None
    if found is None:
        return None
    return [(w.name, [(p.name, p.start * _FRAME, (p.start + p.duration) * _FRAME) for p in w])
            for w in found]  # fmt: skip


def aligner() -> Any:
    """A decoder that aligns."""
    from pocketsphinx import Decoder

    # The decoder's later passes lose one utterance in five (its own defaults); without them none.
    return Decoder(lm=None, bestpath=False, fwdflat=False, loglevel="FATAL")


def main(argv: list[str] | None = None) -> int:
    """Align every utterance that is not in the cache yet."""
    parser = argparse.ArgumentParser(prog="core.training.data.align", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds grid_s1")
    parser.add_argument("--cache", type=Path, required=True, help="where the times are written")
    args = parser.parse_args(argv)
    decoder = aligner()
    lost = 0
    for utterance in utterances(args.data):
        target = args.cache / "aligned" / utterance.corpus / f"{utterance.path.stem}.json"
        if target.exists():
            continue
        phones = align(decoder, decode(utterance.path), utterance.text)
        if phones is None:
            lost += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(phones), "utf-8")
        log.info("aligned %s", utterance.path.name)
    log.info("%d utterances could not be aligned and are left out", lost)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
