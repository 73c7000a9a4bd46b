# SPDX-License-Identifier: GPL-3.0-or-later
"""MEAD as its users have it on disk.

Wang, Wu, Song, Yang, Wu, Qian, He, Qiao, Loy 2020, "MEAD: a large-scale audio-visual dataset for
emotional talking-face generation". Research only; whoever has it brings it::

    MEAD/M003/video/front/angry/level_1/001.mp4
    MEAD/M003/audio/angry/level_1/001.m4a

Films and sounds of a sentence bear the same number; the films are silent. There are three levels of
each emotion, but one of neutral. The sentences' texts are not in the data.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ...arkit import EMOTIONS
from ...errors import UserError
from .films import Record

LEVELS: Final = 3
_SPEAKER: Final = re.compile(r"[MW]\d{3}")
_SOUNDS: Final = (".m4a", ".wav", ".mp3", ".flac")


def records(folder: Path, view: str = "front") -> list[Record]:
    """Every utterance that has a sound, with its film where that is there, in the order of the names.

    Args:
        folder: holds the speakers' folders; or one of these.
        view: the camera.

    Raises:
        UserError: there is nothing of MEAD's form in it.

    """
    found = []
    inside = sorted(p for p in folder.iterdir()) if folder.is_dir() else []
    for home in [folder, *inside]:
        if _SPEAKER.fullmatch(home.name):
            for sound in sorted((home / "audio").glob("*/level_*/*")):
                level = sound.parent.name.removeprefix("level_")
                emotion = sound.parent.parent.name
                if sound.suffix not in _SOUNDS or emotion not in EMOTIONS or not level.isdigit():
                    continue
                film = home / "video" / view / emotion / sound.parent.name / f"{sound.stem}.mp4"
                found.append(Record(
                    corpus="mead",
                    name=f"{home.name}_{emotion}_{level}_{sound.stem}",
                    sound=sound,
                    film=film if film.is_file() else None,
                    speaker=f"mead-{home.name}",
                    emotion=emotion,
                    intensity=1.0 if emotion == "neutral" else min(int(level), LEVELS) / LEVELS,
                    sentence=sound.stem,
                ))  # fmt: skip
    if not found:
        raise UserError(f"Expected MEAD in '{folder}' (as M003/audio/angry/level_1/001.m4a), found none of it.",
                        "Name the folder that holds the speakers' folders, unpacked.")  # fmt: skip
    return found
