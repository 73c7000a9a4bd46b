# SPDX-License-Identifier: GPL-3.0-or-later
"""CREMA-D as its users have it on disk.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma 2014, "CREMA-D: crowd-sourced emotional multimodal actors
dataset", IEEE Transactions on Affective Computing 5(4). Open Database License; whoever has it brings
it::

    CREMA-D/AudioWAV/1001_DFA_ANG_XX.wav
    CREMA-D/VideoFlash/1001_DFA_ANG_XX.flv

The names tell the actor, the sentence, the emotion and its level (XX: not told).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ...errors import UserError
from .films import Record

SENTENCES: Final = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
EMOTION_CODES: Final = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy",
                        "NEU": "neutral", "SAD": "sad"}  # fmt: skip
LEVELS: Final = {"LO": 1 / 3, "MD": 2 / 3, "HI": 1.0}
_NAME: Final = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")
_POINTER: Final = b"version https://git-lfs"


def records(folder: Path) -> list[Record]:
    """Every utterance that has a sound, with its film where that is there, in the order of the names.

    Args:
        folder: holds ``AudioWAV`` and, for the faces, ``VideoFlash``.

    Raises:
        UserError: there is nothing of CREMA-D's form in it, or only pointers to it.

    """
    found = []
    for sound in sorted((folder / "AudioWAV").glob("*.wav")):
        name = _NAME.fullmatch(sound.stem)
        if not name or name[2] not in SENTENCES or name[3] not in EMOTION_CODES:
            continue
        film = folder / "VideoFlash" / f"{sound.stem}.flv"
        emotion = EMOTION_CODES[name[3]]
        found.append(Record(
            corpus="crema-d",
            name=sound.stem,
            sound=sound,
            film=film if film.is_file() else None,
            speaker=f"crema-d-{name[1]}",
            emotion=emotion,
            intensity=1.0 if emotion == "neutral" else LEVELS.get(name[4]),
            sentence=SENTENCES[name[2]],
        ))  # fmt: skip
    if not found:
        raise UserError(f"Expected CREMA-D in '{folder}' (as AudioWAV/1001_DFA_ANG_XX.wav), found none of it.",
                        "Name the folder that holds AudioWAV and VideoFlash.")  # fmt: skip
    for path in (found[0].sound, found[0].film):
        if path is not None and path.read_bytes()[: len(_POINTER)] == _POINTER:
            raise UserError(f"'{path}' is a Git LFS pointer, not the file itself.",
                            "Fetch the files with 'git lfs pull'.")  # fmt: skip
    return found
