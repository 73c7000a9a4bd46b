# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that every part shares: the 52 ARKit blendshapes and MEAD's eight emotions.

- No ``bpy`` module use; standard library only.

Left and right are the character's.
"""

from __future__ import annotations

ARKIT_NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""The 52 blendshapes of Apple's ARFaceAnchor, in alphabetical order."""

EYE_NAMES: tuple[str, ...] = tuple(n for n in ARKIT_NAMES if n.startswith(("eyeBlink", "eyeLook")))
"""The ten that blink and gaze tracks drive."""

EXPRESSION_NAMES: tuple[str, ...] = tuple(n for n in ARKIT_NAMES if n not in EYE_NAMES)
"""The 42 that the expression track drives."""

EMOTIONS: tuple[str, ...] = (
    "neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised",
)  # fmt: skip
"""MEAD's eight emotions, in MEAD's order."""

GAZE_FULL_YAW = 0.52
"""Radians of eye yaw at which eyeLookIn and eyeLookOut reach 1 (about 30 degrees)."""

GAZE_FULL_PITCH = 0.44
"""Radians of eye pitch at which eyeLookUp and eyeLookDown reach 1 (about 25 degrees)."""
