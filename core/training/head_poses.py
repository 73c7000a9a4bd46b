# SPDX-License-Identifier: GPL-3.0-or-later
"""A designed set of faces, gazes and poses for a render set: what tracks produce, evenly covered.

Speech-driven tracks are sums of a mouth shape, an emotion and small living motion, so rows are drawn
the same way: one or two mouth shapes, an emotion at some strength, blinks, gaze, head motion, plus
now and then single shapes on their own so that none stays unseen. Of 8500 frames that `core animate`
made of twelve voices under the eight emotions, the nearest of 1200 rows is 0.36 away in the median
and 0.55 at the 99th percentile (length of the difference of all weights but the gaze's); no channel
but the lopsided dimple reaches further than the design. No torch, no `bpy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES, GAZE_FULL_PITCH, GAZE_FULL_YAW

Array = NDArray[np.float32]
Pose = dict[str, float]


def _both(**weights: float) -> Pose:
    """A pose from weights whose trailing underscore stands for Left and Right."""
    pose: Pose = {}
    for name, value in weights.items():
        if name.endswith("_"):
            pose[name[:-1] + "Left"] = pose[name[:-1] + "Right"] = value
        else:
            pose[name] = value
    return pose


# Mouth shapes of speech, at full strength.
MOUTHS: tuple[Pose, ...] = (
    _both(),
    _both(mouthClose=0.05, mouthPress_=0.4, mouthRollLower=0.2, mouthRollUpper=0.2),  # p b m
    _both(jawOpen=0.6, mouthLowerDown_=0.35, mouthUpperUp_=0.2),  # ah
    _both(jawOpen=0.4, mouthLowerDown_=0.3, mouthUpperUp_=0.25, mouthStretch_=0.2),  # ae
    _both(jawOpen=0.25, mouthLowerDown_=0.3, mouthSmile_=0.25, mouthStretch_=0.3),  # eh
    _both(jawOpen=0.12, mouthSmile_=0.35, mouthStretch_=0.35, mouthLowerDown_=0.3),  # ee
    _both(jawOpen=0.35, mouthFunnel=0.55, mouthPucker=0.2),  # oh
    _both(jawOpen=0.15, mouthPucker=0.75, mouthFunnel=0.3),  # oo w
    _both(jawOpen=0.1, mouthRollLower=0.5, mouthUpperUp_=0.35),  # f v
    _both(jawOpen=0.15, tongueOut=0.25, mouthLowerDown_=0.35, mouthUpperUp_=0.15),  # th
    _both(jawOpen=0.08, mouthLowerDown_=0.45, mouthUpperUp_=0.25, mouthStretch_=0.25),  # s z
    _both(jawOpen=0.12, mouthFunnel=0.6, mouthShrugUpper=0.15),  # sh ch
    _both(jawOpen=0.22, mouthLowerDown_=0.3, mouthUpperUp_=0.15),  # l t d n
    _both(jawOpen=0.2, mouthFunnel=0.35, mouthPucker=0.25),  # r
    _both(jawOpen=0.9, mouthLowerDown_=0.5, mouthUpperUp_=0.3),  # shout
    _both(jawOpen=0.2),  # idle between sounds
    _both(jawOpen=0.4, mouthClose=0.4, mouthRollLower=0.1),  # lips shut over a dropped jaw
    _both(jawOpen=0.22, mouthClose=0.2, mouthPucker=0.35, mouthFunnel=0.15),  # shut before oo
)

# The emotions of `core.arkit.EMOTIONS`, in that order, at weight 1: the means of what `core animate`
# makes of a dozen voices, less their neutral mean.
EMOTION_POSES: tuple[Pose, ...] = (
    _both(browInnerUp=0.07, browOuterUp_=0.07),
    _both(browDown_=0.9, eyeSquint_=0.48, eyeWide_=0.31, noseSneer_=0.48, mouthPress_=0.46,
          mouthFrown_=0.3, mouthShrugLower=0.24, mouthRollLower=0.14, jawForward=0.15),
    _both(mouthDimpleRight=0.65, mouthSmileRight=0.34, browOuterUpLeft=0.43, browDownRight=0.39,
          eyeSquint_=0.35, cheekSquintRight=0.29, mouthPressRight=0.26, mouthPressLeft=0.14,
          mouthRight=0.08, noseSneerRight=0.08),
    _both(noseSneer_=0.76, browDown_=0.56, eyeSquint_=0.56, mouthFrown_=0.47, cheekSquint_=0.44,
          mouthShrugLower=0.3, mouthUpperUp_=0.1, mouthClose=0.09),
    _both(browInnerUp=0.84, browDown_=0.4, browOuterUp_=0.27, eyeWide_=0.83, mouthStretch_=0.48,
          mouthFrown_=0.12),
    _both(cheekSquint_=0.74, mouthSmile_=0.67, eyeSquint_=0.24, mouthDimple_=0.14, browOuterUp_=0.1,
          mouthUpperUp_=0.07),
    _both(browInnerUp=0.84, browDown_=0.39, mouthFrown_=0.66, mouthShrugLower=0.38, eyeSquint_=0.28,
          mouthRollLower=0.09),
    _both(browInnerUp=0.73, browOuterUp_=0.74, eyeWide_=0.72, jawOpen=0.06),
)


@dataclass(frozen=True)
class PoseDesign:
    """How wide the designed set reaches."""

    count: int = 1000
    """Rows."""
    seed: int = 0
    """Same seed, same rows; a longer list begins with the shorter one."""
    gaze: tuple[float, float] = (0.44, 0.3)
    """Largest usual yaw and pitch of the eyes, radians: 25 and 17 degrees."""
    rotation: tuple[float, float, float] = (0.14, 0.2, 0.1)
    """Largest usual pitch, yaw and roll of the head, radians."""
    translation: float = 0.004
    """Standard deviation of the head's place, metres."""
    single: float = 0.1
    """Share of rows that show one or two shapes on their own, at any strength."""


def design_poses(design: PoseDesign) -> dict[str, Array]:
    """Arrays `arkit`, `gaze`, `head_rotation`, `head_translation`, `emotion` of a render set.

    Shapes and units as in `core.training.head_data`; N = ``design.count``.
    """
    rng = np.random.default_rng(design.seed)
    rows = [_row(design, index, rng) for index in range(design.count)]
    return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}


def _row(
    design: PoseDesign, index: int, rng: np.random.Generator
) -> dict[str, NDArray[np.floating[Any]]]:
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    emotion = _emotion(index, rng)
    weights = np.zeros(len(ARKIT_NAMES))
    for share, pose in zip(emotion, EMOTION_POSES, strict=True):
        # A third of the lopsided emotions lean to the other side.
        leaning = mirrored(pose) if rng.uniform() < 0.33 else pose
        add_pose(weights, leaning, share * rng.uniform(0.7, 1.4))
    first, second = rng.integers(len(MOUTHS), size=2)
    blend = rng.uniform()
    add_pose(weights, MOUTHS[first], blend * rng.uniform(0.5, 1.15))
    add_pose(weights, MOUTHS[second], (1.0 - blend) * rng.uniform(0.3, 1.0))
    if rng.uniform() < design.single:
        weights *= rng.uniform(0.0, 0.5)
        for name in rng.choice(EXPRESSION_NAMES, size=rng.integers(1, 3), replace=False):
            add_pose(weights, {str(name): 1.0}, rng.uniform(0.3, 1.0))
        weights[jaw] = max(weights[jaw], weights[close])
    else:
        jitter = rng.uniform(size=len(EXPRESSION_NAMES)) < 0.1
        for name in np.asarray(EXPRESSION_NAMES)[jitter]:
            add_pose(weights, {str(name): 1.0}, rng.uniform(0.0, 0.25))
    gaze = _gaze(design, rng)
    set_lids(weights, gaze)
    _blink(weights, rng)
    weights = np.clip(weights, 0.0, 1.0)
    weights[close] = min(weights[close], weights[jaw])  # Closing more than is open folds the lips.
    return {
        "arkit": weights,
        "gaze": gaze,
        "head_rotation": np.clip(rng.normal(size=3) * 0.5, -1.3, 1.3) * design.rotation,
        "head_translation": np.clip(rng.normal(size=3), -2.5, 2.5) * design.translation,
        "emotion": emotion,
    }


def mirrored(pose: Pose) -> Pose:
    """The pose with left and right exchanged."""
    sides = {"Left": "Right", "Right": "Left"}
    return {next((n.removesuffix(a) + b for a, b in sides.items() if n.endswith(a)), n): value
            for n, value in pose.items()}  # fmt: skip


def _emotion(index: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(8,) weights, sum 1: every emotion in turn, pure, halfway from neutral, or two mixed."""
    weights = np.zeros(len(EMOTIONS))
    main = index % len(EMOTIONS)
    kind = rng.uniform()
    share = 1.0 if kind < 0.5 else rng.uniform(0.2, 1.0)
    other = int(rng.integers(len(EMOTIONS))) if kind > 0.85 else 0
    weights[main] += share
    weights[other] += 1.0 - share
    return weights


def _gaze(design: PoseDesign, rng: np.random.Generator) -> Array:
    """(2, 2) left/right eye, yaw/pitch, radians: both eyes together, a little vergence."""
    span = 0.2 if rng.uniform() < 0.45 else 1.0
    direction = rng.uniform(-1.0, 1.0, size=2) * design.gaze * span
    vergence = rng.uniform(0.0, 0.04)
    turned: Array = np.stack([direction - (vergence, 0.0), direction + (vergence, 0.0)])
    return turned.astype(np.float32)


def set_lids(weights: NDArray[np.float64], gaze: Array) -> None:
    """Sets the eyeLook* lid shapes from the gaze, as `FaceTracks.arkit_weights` does."""
    for side, (yaw, pitch), outward in (("Left", gaze[0], 1.0), ("Right", gaze[1], -1.0)):
        shares = {
            "eyeLookOut": outward * yaw / GAZE_FULL_YAW,
            "eyeLookIn": -outward * yaw / GAZE_FULL_YAW,
            "eyeLookUp": pitch / GAZE_FULL_PITCH,
            "eyeLookDown": -pitch / GAZE_FULL_PITCH,
        }
        for name, share in shares.items():
            weights[ARKIT_NAMES.index(name + side)] = max(0.0, float(share))


def _blink(weights: NDArray[np.float64], rng: np.random.Generator) -> None:
    kind = rng.uniform()
    if kind < 0.6:
        both = rng.uniform(0.0, 0.12)
    elif kind < 0.8:
        both = rng.uniform(0.1, 0.9)
    else:
        both = 1.0
    winks = rng.uniform(size=2) < 0.03
    for side, wink in zip(("Left", "Right"), winks, strict=True):
        weights[ARKIT_NAMES.index("eyeBlink" + side)] = rng.uniform() if wink else both


def add_pose(weights: NDArray[np.float64], pose: Pose, strength: float) -> None:
    """Adds a pose to (52,) ARKit weights."""
    for name, value in pose.items():
        weights[ARKIT_NAMES.index(name)] += value * strength
