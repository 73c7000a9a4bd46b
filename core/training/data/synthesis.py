# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthesised speech with exact phone times, from flite and espeak-ng (Debian packages).

A timing corpus, not a voice corpus: it holds every sound of several languages, and no emotion.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr

from ...audio import SAMPLE_RATE, load
from ...phones import SILENCE, Phone, from_arpabet, from_ipa, spread

log = logging.getLogger(__name__)

Samples = npt.NDArray[np.float32]

FLITE_VOICES: Final = ("slt", "rms", "awb", "kal16")
ESPEAK_VOICES: Final = ("en-us+f2", "en-us+m3", "en-us+klatt2", "en-gb-scotland+f5", "en-us+m7",
                        "de+f3", "de+m1", "fr+f4", "fr+m2", "es+m5", "es+f2", "it+f5", "it+m4")  # fmt: skip
SENTENCES: Final[dict[str, tuple[str, ...]]] = {
    "de": (
        "Am Montag kommt mein Bruder mit dem Bus aus Bremen.",
        "Papa probiert die Pilze, bevor er die Suppe pfeffert.",
        "Wir müssen über die Brücke zum großen Platz fahren.",
        "Meine Großmutter backt am liebsten Apfelkuchen mit Sahne.",
        "Fünf Vögel flogen früh am Morgen über den Fluss.",
        "Bitte bring mir das blaue Buch vom obersten Brett.",
        "Im Sommer schwimmen viele Leute in dem warmen See.",
        "Warum hast du mir nicht gesagt, dass du morgen umziehst?",
    ),
    "fr": (
        "Le petit bateau passe lentement sous le pont de pierre.",
        "Maman prépare une bonne soupe avec des pommes de terre.",
        "Vous pouvez venir demain si le temps le permet.",
        "Il faut que je parle à mon patron avant midi.",
        "Les enfants jouent au ballon dans le parc municipal.",
        "Beaucoup de gens boivent du café noir le matin.",
        "Une jeune fille chante une chanson douce sous la lune.",
        "Pourquoi ne m'avez-vous pas appelé hier soir?",
    ),
    "es": (
        "Mi primo Pablo vive en un pueblo blanco cerca del mar.",
        "Mañana por la mañana compraremos pan y manzanas.",
        "El hombre abrió la puerta y miró por la ventana.",
        "Muchas personas prefieren viajar en tren por la noche.",
        "Bebemos un vaso de vino bajo el árbol del jardín.",
        "No puedo moverme porque me duele mucho el brazo.",
        "La profesora explica el problema con mucha paciencia.",
        "¿Puedes ponerme un café con un poco de leche?",
    ),
    "it": (
        "Mia sorella prepara una pizza buonissima per la famiglia.",
        "Il bambino dorme nella sua stanza con la finestra aperta.",
        "Domani mattina prendiamo il primo treno per Bologna.",
        "Ho visto un bellissimo film al cinema con i miei amici.",
        "Puoi portarmi un bicchiere d'acqua fresca, per piacere?",
        "La primavera porta fiori e profumi in tutta la valle.",
        "Abbiamo bevuto un buon vino rosso sopra la collina.",
        "Quando piove, preferisco leggere un libro in pace.",
    ),
}
"""sentences of our own, rich in lip sounds"""

_RETRIEVAL, _PHONE_EVENTS, _IPA = 1, 1, 2
_END, _PHONE = 0, 7
_LATE_STOP = 0.03
"""espeak marks a stop at its release; the lips shut this much earlier"""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8),
    )  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def flite(text: str, voice: str, stretch: float) -> tuple[Samples, list[Phone]]:
    """Speech of one of flite's voices; ``stretch`` is the length against the voice's own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        said = subprocess.run(
            ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-psdur", "-t", text,
             "-o", str(path)], check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        samples = load(path)
    phones, start = [], 0.0
    for item in said.split():
        label, _, until = item.rpartition(":")
        end = min(float(until), len(samples) / SAMPLE_RATE)
        phones += spread(from_arpabet(label), start, end)
        start = end
    return samples, phones


class Espeak:
    """The espeak-ng library, loaded once per process."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise FileNotFoundError("espeak-ng is missing: install libespeak-ng1 and espeak-ng-data")
        self._library = ctypes.CDLL(name)
        self._rate = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONE_EVENTS | _IPA)

    def speak(self, text: str, voice: str, rate: int) -> tuple[Samples, list[Phone]]:
        """Speech of a voice such as ``de+f3`` at ``rate`` words a minute."""
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
    phones: list[Phone] = []
    starts = []
    for label, start in marks:
        kinds = from_ipa(label)
        first = not phones
        early = _LATE_STOP if kinds[:1] and kinds[0] in ("P", "B") and not first else 0.0
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
            yield f"espeak-{voice}", *espeak.speak(text, voice, int(rng.integers(140, 200)))
