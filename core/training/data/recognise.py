# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones of films heard without their text, a baseline that the evaluation judges beside.

Runs in the environment of ``align``::

    python -m core.training.data.recognise --data shared/data --cache CACHE

Each film of ``grid_other`` gives a JSON list of ``[phone, start, end]``, as ``align`` writes them,
in ``CACHE/recognised/grid_other/<name>.json``.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from .align import decode, utterances

log = logging.getLogger(__name__)

_FRAME = 0.01


def recognise(decoder: Any, sound: bytes) -> list[tuple[str, float, float]]:
    """Phones with start and end, from the sound alone."""
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()
    found = decoder.seg() or ()
    return [(s.word, s.start_frame * _FRAME, (s.end_frame + 1) * _FRAME) for s in found]


def main(argv: list[str] | None = None) -> int:
    """Recognise every film of ``grid_other`` that is not in the cache yet."""
    from pocketsphinx import Decoder, get_model_path

    parser = argparse.ArgumentParser(prog="core.training.data.recognise", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds grid_other")
    parser.add_argument("--cache", type=Path, required=True, help="where the phones are written")
    args = parser.parse_args(argv)
    # Beams and weight of the phone language model are those of the recogniser's own documentation.
    decoder = Decoder(allphone=get_model_path("en-us/en-us-phone.lm.bin"), lm=None, lw=2.0,
                      beam=1e-20, pbeam=1e-20, loglevel="FATAL")  # fmt: skip
    for utterance in utterances(args.data):
        target = args.cache / "recognised" / utterance.corpus / f"{utterance.path.stem}.json"
        if utterance.corpus != "grid_other" or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        phones = recognise(decoder, decode(utterance.path))
        target.write_text(json.dumps(phones), "utf-8")
        log.info("recognised %s: %d phones", utterance.path.name, len(phones))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
