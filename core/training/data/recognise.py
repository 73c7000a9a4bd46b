# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones of recordings heard without their text, written to the training cache.

Runs in the environment of ``align``::

    python -m core.training.data.recognise --data shared/data --cache CACHE

- The films of ``grid_other`` by phones alone, a baseline that the evaluation judges beside: a JSON list of
  ``[phone, start, end]``, as ``align`` writes them, in ``CACHE/recognised/grid_other/<name>.json``.
- LibriSpeech's files without text by words, under the recogniser's own English language model: each row
  of ``CACHE/recognised/librispeech_untold/<name>.json`` has the posterior probability of the phone's
  word behind it, 1 for silences. A reader whose text is known (1688, never trained on) is heard so with a
  word error rate of .36, and .79 of the frames get the kind of sound that his text gives them.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .align import align_words, aligner, decode, utterances

log = logging.getLogger(__name__)

UNTOLD = "librispeech_untold"
"""corpus of the recordings without text"""
_FRAME = 0.01


def recognise(decoder: Any, sound: bytes) -> list[tuple[str, float, float]]:
    """Phones with start and end, from the sound alone."""
    return [(s.word, s.start_frame * _FRAME, (s.end_frame + 1) * _FRAME) for s in _heard(decoder, sound)]


def recognise_words(
    decoder: Any, aligner: Any, sound: bytes
) -> list[tuple[str, float, float, float]]:
    """Phones with start, end and the probability of their words; none where nothing is understood."""
    heard = [(_spelling(s.word), min(s.prob, 1.0)) for s in _heard(decoder, sound) if _is_word(s.word)]
    aligned = align_words(aligner, sound, [word for word, _ in heard]) or []
    sure = iter(prob for _, prob in heard)
    rows = []
    for word, phones in aligned:
        prob = next(sure) if _is_word(word) else 1.0
        rows += [(*phone, round(prob, 4)) for phone in phones]
    return rows


def _heard(decoder: Any, sound: bytes) -> Any:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()
    return decoder.seg() or ()


def _is_word(label: str) -> bool:
    """Whether it is no silence and no noise, as in ``<sil>`` and ``[NOISE]``."""
    return not label.startswith(("<", "["))


def _spelling(label: str) -> str:
    """``read(2)``, the second way to say it, is ``read``."""
    return label.partition("(")[0]


def untranscribed(data: Path) -> list[tuple[str, Path]]:
    """Speaker and file of each of LibriSpeech's recordings without text."""
    folder = data / "speech/librispeech"
    with open(folder / "transcripts.tsv", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if not r["text"]]
    return [(r["speaker"], next(folder.rglob(r["file"]))) for r in sorted(rows, key=lambda r: r["file"])]


def main(argv: list[str] | None = None) -> int:
    """Recognise every film of ``grid_other`` and every untold recording that is not in the cache yet."""
    from pocketsphinx import Decoder, get_model_path

    parser = argparse.ArgumentParser(prog="core.training.data.recognise", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds grid_other")
    parser.add_argument("--cache", type=Path, required=True, help="where the phones are written")
    args = parser.parse_args(argv)
    # Beams and weight of the phone language model are those of the recogniser's own documentation.
    phones = Decoder(allphone=get_model_path("en-us/en-us-phone.lm.bin"), lm=None, lw=2.0,
                     beam=1e-20, pbeam=1e-20, loglevel="FATAL")  # fmt: skip
    films = [u.path for u in utterances(args.data) if u.corpus == "grid_other"]
    _write(args.cache / "recognised/grid_other", films, lambda sound: recognise(phones, sound))
    words, times = Decoder(loglevel="FATAL"), aligner()
    _write(args.cache / "recognised" / UNTOLD, [path for _, path in untranscribed(args.data)],
           lambda sound: recognise_words(words, times, sound))  # fmt: skip
    return 0


def _write(folder: Path, paths: list[Path], hear: Callable[[bytes], list[Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = folder / f"{path.stem}.json"
        if not target.exists():
            rows = hear(decode(path))
            target.write_text(json.dumps(rows), "utf-8")
            log.info("recognised %s: %d phones", path.name, len(rows))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
