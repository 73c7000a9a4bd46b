# SPDX-License-Identifier: GPL-3.0-or-later
"""How a text sounds: espeak-ng, from the library and the data in the wheel ``espeakng-loader``.

Loaded when it is first asked for. The library keeps its state in globals, so there is one voice at a
time, and one caller.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import shutil
import sys
import tempfile
from functools import lru_cache
from typing import Any, Final

from .errors import ExitCode, UserError
from .phones import from_ipa

RETRIEVAL: Final = 1
"""of ``espeak_Initialize``: sound goes to a callback, none is played"""
PHONE_EVENTS: Final = 1
IPA: Final = 2
_KEEP_RUNNING = 1 << 15
"""missing data are told, where espeak-ng would end the process"""
_UTF8 = 1
_IPA_BETWEEN_BARS = IPA | ord("|") << 8
_LONGEST_PATH = 150
"""bytes of a path that espeak-ng takes, with room for what it puts behind"""
_COMMON: Final = ("en-us", "en-gb", "de", "fr", "es", "it", "pt-br", "ru", "hi", "ja", "ko", "cmn")
_OTHER_LANGUAGE = re.compile(r"\([a-z-]+\)")
"""a mark that a word is spoken as in another language"""


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte), ("age", ctypes.c_ubyte), ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte), ("score", ctypes.c_int), ("spare", ctypes.c_void_p),
    )  # fmt: skip


def pronounce(text: str, language: str) -> list[tuple[str, ...]]:
    """The kinds of sound of each word; words that run together count as one.

    Args:
        text: in any script of the language
        language: such as ``en-us``, ``de``, ``cmn``

    Raises:
        UserError: no such language; espeak-ng is missing or broken (code 4).

    """
    library = _library()
    library.espeak_SetVoiceByName(_identifier(language))
    rest = ctypes.c_char_p(text.encode())
    words = []
    while rest.value is not None:  # a clause each time
        spoken = library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA_BETWEEN_BARS)
        words += _OTHER_LANGUAGE.sub("", spoken.decode("utf-8", "ignore")).split()
    return [kinds for kinds in map(_kinds, words) if kinds]


def _kinds(word: str) -> tuple[str, ...]:
    """A word as ``b|ˈɑː|b``, doubled sounds once."""
    kinds = [kind for label in word.split("|") for kind in from_ipa(label)]
    return tuple(k for i, k in enumerate(kinds) if i == 0 or k != kinds[i - 1])


@lru_cache(maxsize=1)
def _library() -> Any:
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
    except (ImportError, OSError, RuntimeError) as error:
        raise _broken(error) from error
    options = PHONE_EVENTS | IPA | _KEEP_RUNNING
    if library.espeak_Initialize(RETRIEVAL, 0, _short(data), options) <= 0:
        raise _broken(f"no data in '{data}'")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    return library


def _short(path: str) -> bytes:
    """The same folder under a name that espeak-ng can open: it cuts long ones off."""
    if sys.platform == "win32":  # and there it reads them in the system's code page
        room = ctypes.create_unicode_buffer(32768)
        ctypes.windll.kernel32.GetShortPathNameW(path, room, len(room))
        return (room.value or path).encode("mbcs", "replace")
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return os.fsencode(path)
    folder = tempfile.mkdtemp(prefix="gmtalker-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = os.path.join(folder, os.path.basename(path))
    os.symlink(path, link)
    return os.fsencode(link)


def _broken(reason: object) -> UserError:
    return UserError(f"espeak-ng, which tells how a text sounds, cannot be loaded: {reason}.",
                     "Set up the engine again, or animate without the text.", ExitCode.MISSING)  # fmt: skip


def _identifier(language: str) -> bytes:
    known = languages()
    try:
        return known[language.strip().lower().replace("_", "-")]
    except KeyError:
        base = language.strip().lower().replace("_", "-").split("-")[0]
        near = [name for name in known if name.split("-")[0] == base]
        raise UserError(f"Expected a language that espeak-ng speaks, got '{language}'.",
                        f"Write it as in {', '.join(near or _COMMON)}.") from None  # fmt: skip


@lru_cache(maxsize=1)
def languages() -> dict[str, bytes]:
    """espeak-ng's name of the voice of each language, by language tag in lower case."""
    voices = _library().espeak_ListVoices(None)
    ranked: dict[str, list[tuple[int, bytes]]] = {}
    number = 0
    while voices[number]:
        voice = voices[number].contents
        for rank, tag in _tags(voice.languages):
            ranked.setdefault(tag, []).append((rank, voice.identifier))
        number += 1
    return {tag: min(found)[1] for tag, found in sorted(ranked.items())}


def _tags(address: int) -> list[tuple[int, str]]:
    """A voice's list: for each language a byte of rank and a string; a rank of 0 ends it."""
    tags = []
    while rank := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        tags.append((rank, tag.decode().lower()))
        address += 2 + len(tag)
    return tags
