# SPDX-License-Identifier: GPL-3.0-or-later
"""Speak the lines of the mouths' sheet, and note when each sound is said.

    python -m demo.make_voices

It needs Debian's packages flite, libespeak-ng1 and espeak-ng-data; what it makes ships in
``demo/voices``: a ``.flac`` and its ``.json`` of (kind of sound, start, end in seconds) for each voice.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import soundfile

from core.audio import SAMPLE_RATE
from core.training.data.synthesis import Espeak, flite

VOICES = Path(__file__).with_name("voices")
ENGLISH = "Pat, please move Bob's big boat by five. She saw the full moon over the harbour."
ITALIAN = "Bravo papà! Mamma vuole una sciarpa blu, ma fuori fa freddo e piove troppo."


def main() -> int:
    """Write the three voices."""
    spoken = {
        "slt": flite(ENGLISH, "slt", 1.05),
        "awb": flite(ENGLISH, "awb", 1.0),
        "it": Espeak().speak(ITALIAN, "it+m4", 150),
    }
    VOICES.mkdir(exist_ok=True)
    for name, (samples, phones) in spoken.items():
        soundfile.write(VOICES / f"{name}.flac", samples, SAMPLE_RATE, "PCM_16")
        rows = [[p.kind, round(p.start, 3), round(p.end, 3)] for p in phones]
        (VOICES / f"{name}.json").write_text(json.dumps(rows) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
