# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of speech sound asks of the mouth, and how the corpora's labels name the kinds.

The numbers are starting values from articulatory phonetics (Ladefoged & Johnson, A Course in
Phonetics; the viseme guidance of JALI, Edwards et al. 2016), those of lip opening set to what tracked
speakers show in the middle of a sound; ``fit_teacher`` moves opening, width and jaw on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


class Phone(NamedTuple):
    """A speech sound in time."""

    kind: str
    """a key of ``KINDS``"""
    start: float
    """seconds"""
    end: float
    """seconds"""


@dataclass(frozen=True)
class Kind:
    """Targets of the mouth for one kind of sound."""

    gap: float
    """opening between the lips, in distances between the outer eye corners"""
    jaw: float
    """jawOpen"""
    width: float = 0.0
    """distance of the mouth corners from rest, in the same unit as the gap"""
    pucker: float = 0.0
    """mouthPucker"""
    funnel: float = 0.0
    """mouthFunnel"""
    roll: float = 0.0
    """mouthRollLower; bilabials roll the upper lip half as far"""
    press: float = 0.0
    """mouthPress, both sides"""
    shrug: float = 0.0
    """mouthShrugUpper: the upper lip lifted forward"""
    tongue: float = 0.0
    """tongueOut"""
    strength: float = 1.0
    """how firmly it holds its targets against its neighbours"""


SILENCE: Final = "SIL"
BILABIAL: Final = ("P", "B", "M")

KINDS: Final[dict[str, Kind]] = {
    SILENCE: Kind(0.0, 0.0, strength=0.6),
    # vowels
    "AA": Kind(0.135, 0.27), "AE": Kind(0.130, 0.25, 0.015), "AH": Kind(0.100, 0.19),
    "AO": Kind(0.095, 0.22, -0.030, 0.10, 0.35), "EH": Kind(0.125, 0.19, 0.015),
    "ER": Kind(0.075, 0.12, -0.015, 0.05, 0.30), "IH": Kind(0.100, 0.13, 0.015, strength=0.8),
    "IY": Kind(0.090, 0.09, 0.035), "UH": Kind(0.075, 0.12, -0.025, 0.25, 0.20),
    "UW": Kind(0.050, 0.08, -0.055, 0.55, 0.20), "AX": Kind(0.080, 0.13, strength=0.5),
    "UE": Kind(0.045, 0.07, -0.050, 0.50, 0.20), "OE": Kind(0.070, 0.12, -0.040, 0.40, 0.25),
    # consonants
    "P": Kind(0.0, 0.06, roll=0.15, press=0.18, strength=1.5),
    "B": Kind(0.0, 0.06, roll=0.12, press=0.12, strength=1.5),
    "M": Kind(0.0, 0.06, roll=0.10, press=0.08, strength=1.5),
    "F": Kind(0.022, 0.05, 0.0, roll=0.30, shrug=0.12, strength=2.0),
    "V": Kind(0.022, 0.05, 0.0, roll=0.25, shrug=0.10, strength=1.6),
    "TH": Kind(0.050, 0.09, tongue=0.25), "DH": Kind(0.050, 0.09, tongue=0.20, strength=0.8),
    "T": Kind(0.080, 0.07, strength=0.7), "D": Kind(0.075, 0.08, strength=0.7),
    "N": Kind(0.075, 0.09, strength=0.7), "L": Kind(0.090, 0.11, tongue=0.05, strength=0.7),
    "S": Kind(0.068, 0.05, 0.015), "Z": Kind(0.065, 0.05, 0.015),
    "SH": Kind(0.085, 0.06, -0.020, 0.10, 0.45, shrug=0.1, strength=1.2),
    "CH": Kind(0.095, 0.06, -0.020, 0.10, 0.40, shrug=0.1, strength=1.2),
    "R": Kind(0.045, 0.09, -0.020, 0.15, 0.28), "W": Kind(0.014, 0.07, -0.060, 0.65, 0.15, strength=1.4),
    "Y": Kind(0.080, 0.07, 0.020, strength=0.7), "K": Kind(0.095, 0.12, strength=0.5),
    "X": Kind(0.090, 0.12, strength=0.5), "HH": Kind(0.080, 0.12, strength=0.3),
}  # fmt: skip
"""Kinds of sound, named as in ARPABET, with AX (schwa), UE, OE (rounded front) and X (velar, uvular)."""

KIND_NAMES: Final = tuple(KINDS)

_ARPABET = {
    "G": ("K",), "NG": ("K",), "JH": ("CH",), "ZH": ("SH",), "AW": ("AA", "UH"),
    "AY": ("AA", "IH"), "EY": ("EH", "IY"), "OW": ("AO", "UW"), "OY": ("AO", "IH"), "PAU": (SILENCE,),
    "DX": ("D",), "EL": ("L",), "EN": ("N",), "+SPN+": (SILENCE,), "+NSN+": (SILENCE,), "(NULL)": (SILENCE,),
}  # fmt: skip

_IPA = {
    "p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "θ": "TH", "ð": "DH", "t": "T", "d": "D",
    "n": "N", "l": "L", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "SH", "ɹ": "R", "r": "D", "ɾ": "D",
    "w": "W", "j": "Y", "k": "K", "g": "K", "ɡ": "K", "ŋ": "K", "h": "HH", "x": "X", "ç": "Y",
    "ʁ": "X", "ʀ": "X", "ɐ": "AH", "a": "AA", "ɑ": "AA", "æ": "AE", "ʌ": "AH", "ɔ": "AO", "ɒ": "AO",
    "o": "AO", "ɛ": "EH", "e": "EH", "ɜ": "ER", "ɚ": "ER", "ɪ": "IH", "i": "IY", "ʊ": "UH",
    "u": "UW", "y": "UE", "ʏ": "UE", "ø": "OE", "œ": "OE", "ə": "AX", "ɲ": "N", "ʎ": "L", "β": "V",
    "ɣ": "K", "ɥ": "UE", "ɫ": "L", "ʔ": "X", "c": "K", "ɟ": "K", "ɬ": "L", "ɨ": "IH", "ʂ": "SH",
    "ʐ": "SH", "ɕ": "SH", "ʑ": "SH", "ɦ": "HH", "ʋ": "V", "ɱ": "M", "ɯ": "IH", "ɵ": "OE", "χ": "X",
    "ʉ": "UW", "ũ": "UW", "ä": "AA", "ã": "AA", "õ": "AO", "ɸ": "W", "ɽ": "D", "ɴ": "K", "ɤ": "AH", "ɞ": "ER",
    "ɘ": "AX", "ɻ": "R", "ʈ": "T", "ɖ": "D", "ɭ": "L", "ɳ": "N", "ʲ": "", "ː": "", "ˈ": "", "ˌ": "",
}  # fmt: skip

_SAMPA = {
    "I": ("IH",), "n": ("N",), "a": ("AA",), "t": ("T",), "m": ("M",), "d": ("D",), "s": ("S",), "v": ("V",),
    "i": ("IY",), "b": ("B",), "g": ("K",), "e": ("IY",), "l": ("L",), "N": ("K",), "z": ("S",), "@": ("AX",),
    "U": ("UH",), "p": ("P",), "E": ("EH",), "f": ("F",), "S": ("SH",), "k": ("K",), "6": ("AH",),
    "x": ("X",), "C": ("Y",), "o": ("AO",), "aI": ("AA", "IH"), "4": ("D",), "O": ("AO",), "X": ("X",), "Y": ("UE",),
    "aU": ("AA", "UH"), "i6": ("IY", "AH"), "B": ("V",), "j": ("Y",), "V": ("V",), "?": ("X",), "y": ("UE",),
    "H": ("UE",), "9": ("OE",), "u": ("UW",), "OY": ("AO", "IH"), "D": ("D",), "h": ("HH",), "L": ("L",),
    "R": ("X",), "a6": ("AA",), "E6": ("EH", "AH"), "G": ("K",), "@6": ("AH",), "AO": ("AA", "UH"),
    "aO": ("AA", "UH"), "ao": ("AA", "UH"), "I6": ("IH", "AH"), "ia": ("IY", "AA"), "NN": ("K",), "I@": ("IH", "AX"),
    "i@": ("IY", "AX"), "e@": ("IY", "AX"), "OU": ("AO", "UH"), "AU": ("AA", "UH"), "@E": ("EH",), "2": ("OE",),
    "r": ("X",), "w": ("W",), ".": (SILENCE,), "(": (SILENCE,),
}  # fmt: skip


def from_arpabet(label: str) -> tuple[str, ...]:
    """Kinds of an ARPABET label; a diphthong has two, an unknown label none."""
    label = label.upper().rstrip("012")
    return _ARPABET.get(label, (label,) if label in KINDS else ())


def from_ipa(label: str) -> tuple[str, ...]:
    """Kinds of an IPA string, as espeak-ng gives them: one per letter that is known."""
    kinds = tuple(_IPA[c] for c in label if _IPA.get(c))
    # Affricates and long consonants move the lips once.
    if kinds[:2] in (("T", "SH"), ("D", "SH")):
        kinds = ("CH",)
    return tuple(k for i, k in enumerate(kinds) if i == 0 or k != kinds[i - 1])[:2]


def from_sampa(label: str) -> tuple[str, ...]:
    """Kinds of an EmoDB label without its marks; an unknown label has none."""
    return _SAMPA.get(label, ())


def spread(kinds: tuple[str, ...], start: float, end: float) -> list[Phone]:
    """A label's kinds over its time; of a diphthong the first part takes 55 %."""
    if len(kinds) == 1:
        return [Phone(kinds[0], start, end)]
    if not kinds:
        return []
    turn = start + 0.55 * (end - start)
    return [Phone(kinds[0], start, turn), Phone(kinds[1], turn, end)]
