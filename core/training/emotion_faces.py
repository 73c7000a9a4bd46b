# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces of the eight emotions without captured data: FACS prototypes that live with the voice.

The combinations of action units are those of EMFACS (Friesen & Ekman 1983, EMFACS-7: Emotional
Facial Action Coding System; Ekman, Friesen & Hager 2002, FACS Investigator's Guide, ch. 12), carried
over to ARKit's shapes. Strengths are ours. Apex and decay follow the voice's loudness, brows beat on
stresses (Ekman 1979, About brows), and nothing of it opens lips that speech holds shut.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from ..arkit import EMOTIONS, EXPRESSION_NAMES
from ..lips import INDEX, LipMap
from ..mouth import RATE

Array = npt.NDArray[np.float64]

PROTOTYPES: Final[dict[str, dict[str, float]]] = {
    "neutral": {},
    # AU 4 + 5 + 7 + 23/24, with 10 and 17 weak
    "angry": {"browDown": 0.85, "eyeWide": 0.20, "eyeSquint": 0.40, "noseSneer": 0.28, "mouthPress": 0.28,
              "mouthFrown": 0.22, "mouthUpperUp": 0.08, "jawForward": 0.12, "mouthShrugLower": 0.12},
    # AU 12 + 14 on one side
    "contempt": {"mouthSmileRight": 0.28, "mouthDimpleRight": 0.55, "mouthDimpleLeft": 0.12,
                 "cheekSquintRight": 0.15, "eyeSquint": 0.18, "browOuterUpLeft": 0.28, "browDownRight": 0.18,
                 "mouthRight": 0.10, "mouthPressRight": 0.15},
    # AU 9 + 15 + 16, with 4, 7 and 10
    "disgusted": {"noseSneer": 0.85, "mouthUpperUp": 0.24, "browDown": 0.45, "eyeSquint": 0.40,
                  "cheekSquint": 0.35, "mouthFrown": 0.32, "mouthShrugLower": 0.18, "mouthLowerDown": 0.06},
    # AU 1 + 2 + 4 + 5 + 20 + 26
    "fear": {"browInnerUp": 0.80, "browOuterUp": 0.30, "browDown": 0.25, "eyeWide": 0.70, "mouthStretch": 0.42,
             "mouthFrown": 0.12, "jawOpen": 0.06, "mouthLowerDown": 0.08},
    # AU 6 + 12
    "happy": {"mouthSmile": 0.72, "cheekSquint": 0.65, "eyeSquint": 0.22, "mouthDimple": 0.12,
              "mouthUpperUp": 0.06, "browOuterUp": 0.10},
    # AU 1 + 4 + 15, with 17
    "sad": {"browInnerUp": 0.75, "browDown": 0.22, "mouthFrown": 0.68, "mouthShrugLower": 0.30,
            "eyeSquint": 0.20, "mouthRollLower": 0.06},
    # AU 1 + 2 + 5 + 26
    "surprised": {"browInnerUp": 0.85, "browOuterUp": 0.80, "eyeWide": 0.62, "jawOpen": 0.12,
                  "mouthUpperUp": 0.05},
}  # fmt: skip
"""weights at full strength; a name without Left or Right means both"""

_BEATS: Final[dict[str, dict[str, float]]] = {
    "neutral": {"browInnerUp": 0.14, "browOuterUp": 0.12},
    "angry": {"browDown": 0.18, "noseSneer": 0.12},
    "contempt": {"browOuterUpLeft": 0.20, "mouthDimpleRight": 0.10},
    "disgusted": {"noseSneer": 0.15, "browDown": 0.10},
    "fear": {"browInnerUp": 0.18, "eyeWide": 0.15},
    "happy": {"browInnerUp": 0.20, "browOuterUp": 0.20, "mouthSmile": 0.10, "cheekSquint": 0.12},
    "sad": {"browInnerUp": 0.18},
    "surprised": {"browInnerUp": 0.15, "browOuterUp": 0.20, "eyeWide": 0.15},
}
"""what a stressed syllable adds"""

_AROUSAL: Final = np.array([1.0, 1.12, 0.95, 1.0, 1.0, 1.1, 0.85, 1.1])
"""how widely each emotion speaks"""
_PARTING: Final = ("jawOpen", "mouthUpperUp", "mouthLowerDown")
"""shapes that part the lips, so that emotion has them while speaking only"""
_IDLE: Final = ("browInnerUp", "browOuterUp", "browDown", "eyeSquint", "cheekSquint", "mouthPress")
"""shapes that a resting face moves a little"""


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
_PARTS = vector(dict.fromkeys(_PARTING, 1.0)) > 0
_RESTING = vector(dict.fromkeys(_IDLE, 1.0))


class Voice(NamedTuple):
    """What of a voice moves the rest of the face; (T,) each, at 50 Hz."""

    loud: Array
    """slow loudness, about 0..1"""
    stress: Array
    """bumps on stressed syllables, about 0..1"""
    awake: Array
    """0 in silence, 1 in speech"""


def voice_of(energy: Array, awake: Array) -> Voice:
    """Loudness and stresses from the energy feature (T,) at 50 Hz and the speech activity (T,)."""
    present = np.clip(energy - 0.45, 0, 0.6) / 0.5 * awake
    quick, slow = gaussian_filter1d(present, 0.06 * RATE), gaussian_filter1d(present, 0.45 * RATE)
    return Voice(slow, gaussian_filter1d(np.clip(3 * (quick - slow - 0.1), 0, 1), 0.05 * RATE), awake)


def drift(frames: int, columns: int, rng: np.random.Generator, seconds: float) -> Array:
    """(frames, columns) noise of variance about 1 that changes over so many seconds."""
    coarse = rng.standard_normal((int(frames / RATE / seconds) + 4, columns))
    at = np.arange(frames) / RATE / seconds + 1
    low = at.astype(int)
    share = (1 - np.cos(np.pi * (at - low)))[:, None] / 2
    return np.asarray(coarse[low] * (1 - share) + coarse[low + 1] * share)


def perform(
    speech: Array, weights: Array, voice: Voice, lips: LipMap, rng: np.random.Generator
) -> Array:
    """One way in which somebody would say this with these emotions.

    Args:
        speech: (T, 42) mouth at neutral emotion
        weights: (T, 8) of sum 1
        voice: loudness, stresses, activity
        lips: of the head
        rng: how strong, how crooked, how restless this time

    Returns:
        (T, 42) in 0..1

    """
    frames = len(speech)
    apex = 0.8 + 0.3 * voice.loud + 0.07 * drift(frames, 1, rng, 0.8)[:, 0]
    manner = np.exp(0.16 * rng.standard_normal(_FACE.shape[1]))  # each shape's strength this time
    manner = manner * (1 + 0.05 * drift(frames, _FACE.shape[1], rng, 1.2))
    felt = (weights @ _FACE) * apex[:, None] * manner
    felt += (weights @ _BEAT) * (voice.stress * rng.uniform(0.6, 1.3))[:, None]
    felt += 0.03 * np.abs(drift(frames, len(_RESTING), rng, 1.5)) * _RESTING
    felt[:, _PARTS] *= voice.awake[:, None]
    # A rounded mouth cannot grin: what rounds takes from what spreads.
    rounded = np.clip(speech[:, INDEX["mouthPucker"]] + speech[:, INDEX["mouthFunnel"]], 0, 1)
    for name in ("mouthSmile", "mouthStretch", "mouthFrown"):
        for side in ("Left", "Right"):
            felt[:, INDEX[name + side]] *= 1 - 0.5 * rounded
    spoken = speech * (weights @ _AROUSAL)[:, None]
    face = np.clip(spoken + felt, 0, 1)
    return lips.keep_shut(face, speech)


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
