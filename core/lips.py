# SPDX-License-Identifier: GPL-3.0-or-later
"""What each expression coefficient does to the lips of the built-in head.

- No ``bpy`` module use; numpy only.

Blendshapes are linear, so the signed opening and the width of the mouth are too. Lengths are in
distances between the outer eye corners, coefficients in the order of ``EXPRESSION_NAMES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .arkit import EXPRESSION_NAMES
from .head.model import HeadModel

Array = npt.NDArray[np.float64]

SHUT: Final = 0.012
"""lips nearer than this read as closed; open vowels stand at 0.06 to 0.20"""
_APART: Final = 0.03
"""opening from which on speech does not hold the lips at all"""
_DONE: Final = 1e-6
"""opening that is none"""
INDEX: Final = {name: i for i, name in enumerate(EXPRESSION_NAMES)}
_PARTING: Final = [i for name, i in INDEX.items() if name.startswith(
    ("jawOpen", "mouthFunnel", "mouthShrugUpper", "mouthLowerDown", "mouthUpperUp"))]  # fmt: skip
"""what parts the lips"""


@dataclass(frozen=True)
class LipMap:
    """Effect of each coefficient on the lips."""

    gap: Array
    """(42,) on the signed opening at the middle of the lips"""
    width: Array
    """(42,) on the distance of the mouth corners"""
    chin: Array
    """(42,) on the drop of the chin"""

    @staticmethod
    @lru_cache(maxsize=1)
    def from_head() -> LipMap:
        """Measure the built-in head."""
        head = HeadModel.load()
        rest = head.vertices.astype(np.float64)
        rows = [head.shape_names.index(n) for n in EXPRESSION_NAMES]
        moved = head.shape_deltas[rows].astype(np.float64)
        left, right = (head.landmark(f"eye_outer_{side}") for side in ("left", "right"))
        eyes = np.linalg.norm(rest[left] - rest[right])

        def difference(a: str, b: str, axis: int) -> Array:
            return np.asarray((moved[:, head.landmark(a), axis] - moved[:, head.landmark(b), axis]) / eyes)

        return LipMap(
            difference("lip_upper_inner", "lip_lower_inner", 1),
            difference("lip_corner_left", "lip_corner_right", 0),
            np.asarray(-moved[:, head.landmark("chin"), 1] / eyes),
        )

    def keep_shut(self, face: Array, speech: Array) -> Array:
        """Close what emotion or a dial has parted where speech holds the lips shut.

        Args:
            face: (T, 42) with it, 0..1
            speech: (T, 42) without

        Returns:
            (T, 42) with more mouthClose, and less of what parts the lips where that is not enough.

        """
        opened = face @ self.gap
        shut = np.clip((_APART - speech @ self.gap) / (_APART - SHUT), 0, 1)
        parted = np.maximum(opened - np.maximum(speech @ self.gap, 0), 0) * shut
        out = np.array(face, np.float64)
        out[:, INDEX["mouthClose"]] += parted / -self.gap[INDEX["mouthClose"]]
        out = np.clip(out, 0, 1)
        left = out @ self.gap - (opened - parted)
        opening = out[:, _PARTING] @ self.gap[_PARTING]
        share = np.divide(left, opening, out=np.zeros_like(left), where=(left > _DONE) & (opening > 0))
        out[:, _PARTING] *= 1 - np.minimum(share, 1)[:, None]
        return out
