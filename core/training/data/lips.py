# SPDX-License-Identifier: GPL-3.0-or-later
"""From lips as seen or wanted to coefficients.

Lengths are in distances between the outer eye corners, coefficients (T, 42), ``EXPRESSION_NAMES``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...arkit import EXPRESSION_NAMES
from ...lips import INDEX, LipMap

Array = npt.NDArray[np.float64]


_MOST_LIP = 0.55
"""lips part by themselves up to this; what is missing the jaw opens"""


def compose(
    lips: LipMap, gap: Array, jaw: Array, width: Array | None, extras: dict[str, Array]
) -> Array:
    """Coefficients whose lips open and widen as asked.

    The jaw does its own part; lower and upper lip open the rest, and mouthClose takes back what the
    jaw opens too far, so that a closure closes at any jaw.

    Args:
        lips: of the head
        gap: (T,) opening wanted, 0 is touching
        jaw: (T,) jawOpen wanted
        width: (T,) distance of the corners from rest, or None to leave it to the extras
        extras: (T,) each: pucker, funnel, roll, upper_roll, press, shrug, tongue

    """
    out = np.zeros((len(gap), len(EXPRESSION_NAMES)))

    def put(name: str, value: Array) -> None:
        for side in ("", "Left", "Right"):
            if name + side in INDEX:
                out[:, INDEX[name + side]] += value

    for name, key in (("mouthPucker", "pucker"), ("mouthFunnel", "funnel"), ("mouthPress", "press"),
                      ("mouthRollLower", "roll"), ("mouthRollUpper", "upper_roll"),
                      ("mouthShrugUpper", "shrug"), ("tongueOut", "tongue")):  # fmt: skip
        put(name, extras[key])
    put("jawOpen", np.clip(jaw, 0, 1))
    if width is not None:
        _widen(lips, out, width - out @ lips.width)
    missing = gap - out @ lips.gap
    both = {n: 2 * lips.gap[INDEX[n + "Left"]] for n in ("mouthLowerDown", "mouthUpperUp")}
    apart = np.clip(missing / sum(both.values()), 0, _MOST_LIP)
    put("mouthLowerDown", 1.2 * apart * np.ones_like(gap))
    put("mouthUpperUp", apart * (both["mouthUpperUp"] - 0.2 * both["mouthLowerDown"])
        / both["mouthUpperUp"])  # fmt: skip
    missing = gap - out @ lips.gap
    out[:, INDEX["jawOpen"]] += np.maximum(missing, 0) / lips.gap[INDEX["jawOpen"]]
    put("mouthClose", np.minimum(missing, 0) / lips.gap[INDEX["mouthClose"]])
    return np.clip(out, 0, 1)


def _widen(lips: LipMap, out: Array, missing: Array) -> None:
    """Spread the lips by stretch, dimple and a little smile, or narrow them by the pucker."""
    spread = {"mouthStretch": 0.7, "mouthSmile": 0.25, "mouthDimple": 0.3}
    unit = sum(s * 2 * lips.width[INDEX[n + "Left"]] for n, s in spread.items())
    amount = np.clip(missing / unit, 0, 0.8)
    for name, share in spread.items():
        for side in ("Left", "Right"):
            out[:, INDEX[name + side]] += share * amount
    out[:, INDEX["mouthPucker"]] += np.clip(missing / lips.width[INDEX["mouthPucker"]], 0, 0.6)
