# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthesised speech with exact phone times, from flite and espeak-ng (Debian packages).

A timing corpus, not a voice corpus: it holds every sound of several languages, and no emotion.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr

from ...audio import SAMPLE_RATE, load
from ...errors import ExitCode, UserError
from ...phones import SILENCE, Phone, from_arpabet, from_ipa, spread
from .sentences import SENTENCES

log = logging.getLogger(__name__)

Samples = npt.NDArray[np.float32]

FLITE_VOICES: Final = ("slt", "rms", "awb", "kal16")
ESPEAK_VOICES: Final = (
    "en-us+f2", "en-us+m3", "en-us+klatt2", "en-gb-scotland+f5", "en-us+m7", "de+f3", "de+m1", "fr+f4",
    "fr+m2", "es+m5", "es+f2", "it+f5", "it+m4",
    "en-029+linda", "en-us+max", "en-gb-x-rp+steph", "en-us+croak", "en-us+klatt4", "de+klatt3", "de+steph2",
    "fr+michel", "es+miguel", "pt-br+f1", "pt-br+m6", "pl+f2", "pl+m8", "tr+f5", "tr+m3", "ru+f4", "ru+marcelo",
    "nl+f3", "nl+m7", "sv+linda", "sv+m2", "hi+f1", "hi+m5", "el+f2", "el+antonio", "ja+f5", "ja+m1",
)  # fmt: skip
"""language and voice variant, as espeak-ng names them"""
_PITCH = 3
"""espeak-ng's number of the parameter"""
_RETRIEVAL, _PHONE_EVENTS, _IPA = 1, 1, 2
_END, _PHONE = 0, 7
_VOICELESS_STOPS, _CLOSURE = tuple("ptkcʈq"), 0.045
"""espeak marks these at their release, after a closure of this many seconds; others at their start"""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8),
    )  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _missing(what: str) -> UserError:
    return UserError(f"Training speaks with '{what}', which is not on this machine.",
                     "Install Debian's packages flite, libespeak-ng1 and espeak-ng-data.",
                     ExitCode.MISSING)  # fmt: skip


def flite(text: str, voice: str, stretch: float) -> tuple[Samples, list[Phone]]:
    """Speech of one of flite's voices; ``stretch`` is the length against the voice's own."""
    if shutil.which("flite") is None:
        raise _missing("flite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        said = subprocess.run(
            ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-psdur", "-t", text,
             "-o", str(path)], check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        samples = load(path)
    phones: list[Phone] = []
    start, length = 0.0, len(samples) / SAMPLE_RATE
    for item in said.split():
        label, _, until = item.rpartition(":")
        end = min(float(until), length)
        phones += spread(from_arpabet(label), start, end)
        start = end
    return samples, phones


class Espeak:
    """The espeak-ng library, loaded once per process."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise _missing("libespeak-ng")
        self._library = ctypes.CDLL(name)
        self._rate = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONE_EVENTS | _IPA)

    def speak(self, text: str, voice: str, rate: int, pitch: int = 50) -> tuple[Samples, list[Phone]]:
        """Speech of a voice such as ``de+f3`` at ``rate`` words a minute; ``pitch`` 0 to 100."""
        pieces: list[bytes] = []
        marks: list[tuple[str, float]] = []

        def take(wave: ctypes.Array[ctypes.c_short], count: int, events: ctypes.Array[_Event]) -> int:
            if wave and count:
                pieces.append(ctypes.string_at(wave, 2 * count))
            for event in iter_events(events):
                marks.append((event.name.decode("utf-8", "ignore"), event.audio_position / 1000))
            return 0

        callback = _CALLBACK(take)
        self._library.espeak_SetSynthCallback(callback)
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice '{voice}'")
        self._library.espeak_SetParameter(1, rate, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        encoded = text.encode()
        utf8 = 1
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        wave = np.frombuffer(b"".join(pieces), np.int16).astype(np.float32) / 32768
        samples = soxr.resample(wave, self._rate, SAMPLE_RATE).astype(np.float32)
        return samples, _phones_of_marks(marks, len(samples) / SAMPLE_RATE)


def iter_events(events: ctypes.Array[_Event]) -> Iterator[_Event]:
    """The phone events of a callback's list, which ends with an event of type 0."""
    at = 0
    while events and events[at].type != _END:
        if events[at].type == _PHONE:
            yield events[at]
        at += 1


def _phones_of_marks(marks: Sequence[tuple[str, float]], length: float) -> list[Phone]:
    """Phones from espeak's marks; one that moves no lips, such as a palatalisation, prolongs the last."""
    phones: list[Phone] = []
    starts: list[tuple[tuple[str, ...], float]] = []
    for label, start in marks:
        kinds = from_ipa(label)
        if label and not kinds:
            continue
        first = not starts
        early = _CLOSURE if label.startswith(_VOICELESS_STOPS) and not first else 0.0
        starts.append((kinds, max(start - early, 0.0)))
    for (kinds, start), (_, end) in zip(starts, [*starts[1:], ((), length)]):
        phones += spread(kinds or (SILENCE,), start, max(end, start + 0.01))
    return phones


def corpus(texts: Sequence[str], seed: int) -> Iterator[tuple[str, Samples, list[Phone]]]:
    """Voice name, samples and phones of every synthesised utterance.

    Args:
        texts: English sentences, shared out among the English voices
        seed: of the choice of texts and speaking rates

    """
    rng = np.random.default_rng(seed)
    for voice in FLITE_VOICES:
        for text in rng.choice(np.array(texts), 70, replace=False):
            yield f"flite-{voice}", *flite(str(text), voice, float(rng.uniform(0.85, 1.25)))
    espeak = Espeak()
    for voice in ESPEAK_VOICES:
        own = SENTENCES.get(voice[:2]) or tuple(map(str, rng.choice(np.array(texts), 14, replace=False)))
        for text in own:
            rate, pitch = (int(rng.integers(*span)) for span in ((140, 200), (25, 80)))
            yield f"espeak-{voice}", *espeak.speak(text, voice, rate, pitch)
