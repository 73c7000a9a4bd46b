# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces of the eight emotions without captured data: FACS prototypes that live with the voice.

The combinations of action units are those of EMFACS (Friesen & Ekman 1983, EMFACS-7: Emotional
Facial Action Coding System; Ekman, Friesen & Hager 2002, FACS Investigator's Guide, ch. 12), carried
over to ARKit's shapes. Strengths are ours, judged on renders of the built-in head.

- Apex and release follow loudness and pitch, the more so the more aroused the emotion is: loud and
  high is what aroused voices are (Scherer 2003, Vocal communication of emotion).
- Brows beat on stresses, which are heard as loudness and as rises of pitch (Ekman 1979, About brows;
  Cavé et al. 1996, About the relationship between eyebrow movements and F0 variations).
- Both sides differ a little, the left is a little stronger when a face is posed (Sackeim, Gur & Saucy
  1978; Ekman, Hager & Friesen 1981); contempt alone is one-sided.
- Lips part for an emotion only as far as speech has opened them, so that its timing and its closures
  stay, and what speech rounds is not spread.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from ..arkit import EMOTIONS, EXPRESSION_NAMES
from ..lips import INDEX, LipMap
from ..mouth import RATE
from ..prosody import NAMES, prosody
from ..prosody import RATE as PROSODY_RATE

Array = npt.NDArray[np.float64]

PROTOTYPES: Final[dict[str, dict[str, float]]] = {
    "neutral": {},
    # AU 4 + 5 + 7 + 23/24, with 10 and 17 weak
    "angry": {"browDown": 1.15, "noseSneer": 0.55, "eyeWide": 0.35, "eyeSquint": 0.50, "mouthPress": 0.50,
              "mouthFrown": 0.34, "mouthShrugLower": 0.25, "mouthRollLower": 0.15, "jawForward": 0.15},
    # AU 12 + 14 on one side, with 10 weak, one brow up, the lids low
    "contempt": {"mouthSmileRight": 0.38, "mouthDimpleRight": 0.80, "mouthPressRight": 0.30,
                 "mouthPressLeft": 0.15, "cheekSquintRight": 0.30, "mouthUpperUpRight": 0.12,
                 "noseSneerRight": 0.12, "eyeSquint": 0.38, "browOuterUpLeft": 0.45,
                 "browInnerUp": 0.10, "browDownRight": 0.45, "mouthRight": 0.10},
    # AU 9 + 10 + 15 + 16 + 17, with 4 and 7
    "disgusted": {"noseSneer": 1.1, "mouthUpperUp": 0.20, "browDown": 0.55, "eyeSquint": 0.55,
                  "cheekSquint": 0.45, "mouthFrown": 0.50, "mouthShrugLower": 0.30, "mouthLowerDown": 0.08},
    # AU 1 + 2 + 4 + 5 + 20 + 26
    "fear": {"browInnerUp": 1.1, "browOuterUp": 0.28, "browDown": 0.45, "eyeWide": 0.90, "mouthStretch": 0.55,
             "mouthFrown": 0.15, "mouthLowerDown": 0.14, "jawOpen": 0.06},
    # AU 6 + 12
    "happy": {"mouthSmile": 0.78, "cheekSquint": 0.80, "eyeSquint": 0.25, "mouthDimple": 0.15,
              "mouthUpperUp": 0.12, "browOuterUp": 0.14, "browInnerUp": 0.08},
    # AU 1 + 4 + 15 + 17
    "sad": {"browInnerUp": 1.1, "browDown": 0.42, "mouthFrown": 0.78, "mouthShrugLower": 0.42,
            "eyeSquint": 0.30, "mouthRollLower": 0.10},
    # AU 1 + 2 + 5 + 26
    "surprised": {"browInnerUp": 0.92, "browOuterUp": 0.92, "eyeWide": 0.80, "jawOpen": 0.13,
                  "mouthUpperUp": 0.06},
}  # fmt: skip
"""weights at full strength, before :func:`_within`; a name without Left or Right means both"""

_BEATS: Final[dict[str, dict[str, float]]] = {
    "neutral": {"browInnerUp": 0.28, "browOuterUp": 0.22},
    "angry": {"noseSneer": 0.18, "eyeWide": 0.18, "browDown": 0.25},
    "contempt": {"browOuterUpLeft": 0.25, "mouthDimpleRight": 0.12},
    "disgusted": {"eyeSquint": 0.15, "browDown": 0.18, "cheekSquint": 0.10},
    "fear": {"browInnerUp": 0.25, "browOuterUp": 0.15, "eyeWide": 0.15},
    "happy": {"browInnerUp": 0.28, "browOuterUp": 0.28, "cheekSquint": 0.10},
    "sad": {"browInnerUp": 0.25, "browDown": 0.15},
    "surprised": {"browInnerUp": 0.15, "browOuterUp": 0.15, "eyeWide": 0.15},
}
"""what a stressed syllable adds"""

_AROUSAL: Final = np.array([1.0, 1.06, 0.95, 0.92, 1.0, 1.1, 0.85, 1.06])
"""how widely each emotion speaks"""
_FOLLOWS: Final = np.array([0.0, 0.32, 0.10, 0.18, 0.25, 0.30, 0.10, 0.30])
"""share of each emotion's strength that comes and goes with the voice"""
_SPREADING: Final = dict.fromkeys(("mouthSmile", "mouthStretch", "mouthFrown", "mouthDimple"), 0.6)
"""how far what spreads the lips gives way to what rounds them"""
_PARTING: Final = {"jawOpen": 1.0, "mouthUpperUp": 1.0, "mouthLowerDown": 1.0, "noseSneer": 0.35}
"""how far what parts the lips gives way to speech that shuts them"""
_IDLE: Final = ("browInnerUp", "browOuterUp", "browDown", "eyeSquint", "cheekSquint")
"""shapes that a resting face moves a little"""
_USUAL_LOUD: Final = 0.6
_KNEE: Final = 0.7
"""strength of a shape from which on it nears 1 ever more slowly"""
_EASE: Final = 0.4
"""how much more than its share a weak emotion shows; nothing at full strength"""
_PRESSED: Final = 1.25
"""how much of what emotion parts is shut again: beside their middle lips part more"""
_WIDE: Final = 0.12
"""opening of the lips from which on emotion parts them in full"""


def vector(weights: dict[str, float]) -> Array:
    """(42,) of named weights, a name without side standing for both sides."""
    out = np.zeros(len(EXPRESSION_NAMES))
    for name, value in weights.items():
        for full in (name, name + "Left", name + "Right"):
            if full in INDEX:
                out[INDEX[full]] = value
    return out


def _table(weights: dict[str, dict[str, float]]) -> Array:
    return np.stack([vector(weights[e]) for e in EMOTIONS])


_FACE, _BEAT = _table(PROTOTYPES), _table(_BEATS)
_RESTING = vector(dict.fromkeys(_IDLE, 1.0))
_SPREADS, _PARTS = vector(_SPREADING), vector(_PARTING)
_PAIR: Final = np.array([INDEX[n.replace("Right", "Left")] for n in EXPRESSION_NAMES])
"""(42,) where both sides of a shape share a number"""
_SIDE: Final = np.array([n.endswith("Left") - 1.0 * n.endswith("Right") for n in EXPRESSION_NAMES])
"""(42,) 1 on the left, -1 on the right, 0 in the middle"""


class Voice(NamedTuple):
    """What of a voice moves the rest of the face; (T,) each, at 50 Hz."""

    loud: Array
    """slow loudness, about 0..1"""
    stress: Array
    """bumps on stressed syllables, about 0..1"""
    awake: Array
    """0 in silence, 1 in speech"""
    pitch: Array
    """slow pitch, octaves over the voice's middle"""


def pitch_of(samples: npt.NDArray[np.float32], frames: int) -> Array:
    """(frames,) octaves over the voice's middle pitch at 50 Hz, towards 0 where unvoiced."""
    heard = prosody(samples)
    octaves = heard[:, NAMES.index("pitch")] * heard[:, NAMES.index("voiced")]
    times = np.arange(frames) / RATE
    return np.asarray(np.interp(times, np.arange(len(heard)) / PROSODY_RATE, octaves))


def voice_of(energy: Array, awake: Array, pitch: Array | None = None) -> Voice:
    """What moves the face, from features at 50 Hz.

    Args:
        energy: (T,) the energy feature
        awake: (T,) speech activity
        pitch: (T,) of :func:`pitch_of`; None is a monotone voice

    """
    present = np.clip(energy - 0.45, 0, 0.6) / 0.5 * awake
    octaves = np.zeros(len(energy)) if pitch is None else pitch * awake
    both = np.stack([present, octaves])
    slow = gaussian_filter1d(both, 0.45 * RATE)
    louder, higher = gaussian_filter1d(both, 0.06 * RATE) - slow
    stress = np.clip(3 * (louder - 0.1) + 3 * np.clip(higher - 0.05, 0, None), 0, 1)
    return Voice(slow[0], gaussian_filter1d(stress, 0.05 * RATE), awake, slow[1])


def drift(frames: int, columns: int, rng: np.random.Generator, seconds: float) -> Array:
    """(frames, columns) noise of variance about 1 that changes over so many seconds."""
    coarse = rng.standard_normal((int(frames / RATE / seconds) + 4, columns))
    at = np.arange(frames) / RATE / seconds + 1
    low = at.astype(int)
    share = (1 - np.cos(np.pi * (at - low)))[:, None] / 2
    return np.asarray(coarse[low] * (1 - share) + coarse[low + 1] * share)


def _apex(voice: Voice) -> Array:
    """(T, 8) how far each emotion has come out: about 1 in a usual voice, less in its pauses."""
    lively = np.clip(voice.loud / _USUAL_LOUD + 0.6 * voice.pitch, 0, 1.4)
    return np.asarray(1 + _FOLLOWS * (lively[:, None] - 1))


def _manner(frames: int, rng: np.random.Generator) -> Array:
    """(frames, 42) how strong each shape is this time, how it drifts, and how crooked it is."""
    often = np.exp(0.16 * rng.standard_normal(len(_PAIR)))[_PAIR]
    posed = max(rng.normal(0.02, 0.03), 0.0)
    crooked = np.exp(_SIDE * (posed + 0.04 * rng.standard_normal(len(_PAIR))[_PAIR]))
    return np.asarray(often * crooked * (1 + 0.05 * drift(frames, len(_PAIR), rng, 1.2)[:, _PAIR]))


def _within(felt: Array) -> Array:
    """Bring strengths under 1 without a hard edge, so that a full face still moves."""
    over = np.clip(felt - _KNEE, 0, None) / (1 - _KNEE)
    return np.asarray(np.minimum(felt, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over)))


def added(
    weights: Array, voice: Voice, speech: Array, lips: LipMap, rng: np.random.Generator | None = None
) -> Array:
    """What emotion adds to the mouth of neutral speech.

    Args:
        weights: (T, 8) of sum 1
        voice: loudness, pitch, stresses, activity
        speech: (T, 42) mouth at neutral emotion
        lips: of the head
        rng: how strong, how crooked, how restless this time; None is the usual, symmetric way

    Returns:
        (T, 42), to be added to the speech.

    """
    frames = len(speech)
    emotional = 1 - weights[:, :1]
    felt: Array = (weights * _apex(voice)) @ _FACE * (1 + _EASE * (1 - emotional))
    beats = (weights @ _BEAT) * voice.stress[:, None]
    if rng is not None:
        felt = felt * _manner(frames, rng) * (1 + 0.05 * drift(frames, 1, rng, 0.8))
        beats = beats * rng.uniform(0.6, 1.3)
        felt += 0.03 * np.abs(drift(frames, len(_RESTING), rng, 1.5)) * _RESTING
    felt = _within(felt + beats)
    rounded = np.clip(speech[:, INDEX["mouthPucker"]] + speech[:, INDEX["mouthFunnel"]], 0, 1)
    felt = felt * (1 - rounded[:, None] * _SPREADS)
    shut = 1 - np.clip(speech @ lips.gap / _WIDE, 0, 1)
    felt = felt * (1 - shut[:, None] * _PARTS)
    surplus = _PRESSED * np.clip(felt @ lips.gap, 0, None) * shut
    felt[:, INDEX["mouthClose"]] += surplus / -lips.gap[INDEX["mouthClose"]]
    return np.asarray(felt + speech * (weights @ _AROUSAL - 1)[:, None])


def perform(
    speech: Array,
    weights: Array,
    voice: Voice,
    lips: LipMap,
    rng: np.random.Generator | None = None,
) -> Array:
    """One way in which somebody would say this with these emotions, (T, 42) in 0..1; see :func:`added`."""
    return np.clip(speech + added(weights, voice, speech, lips, rng), 0, 1)


def random_weights(frames: int, rng: np.random.Generator) -> Array:
    """(frames, 8) emotion weights such as an artist would draw: plain, graded, mixed, changing."""
    def one() -> Array:
        kind = rng.uniform()
        if kind < 0.3:
            return np.asarray(np.eye(8)[0])
        if kind < 0.8:
            strength = rng.choice([1.0, rng.uniform(0.1, 1.0)])
            return np.asarray(strength * np.eye(8)[rng.integers(1, 8)] + (1 - strength) * np.eye(8)[0])
        return np.asarray(rng.dirichlet(np.full(8, 0.4)))

    if rng.uniform() < 0.75:
        return np.tile(one(), (frames, 1))
    start, length = rng.uniform(0, frames), rng.uniform(0.1, 1.5) * RATE
    share = np.clip((np.arange(frames) - start) / length, 0, 1)[:, None]
    return np.asarray((1 - share) * one() + share * one())
