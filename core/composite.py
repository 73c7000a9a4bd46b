# SPDX-License-Identifier: GPL-3.0-or-later
"""Pastes a face back into the frame that its square was cut from, without a visible edge.

- No ``bpy`` module use; numpy, scipy and Pillow.

Two things make an edge visible: detail that stops, and a colour that jumps. Detail crosses over from
the frame to the face along a border. Before that the face takes on the frame's colours along its
sides: their difference there, smoothed, is spread inwards as a membrane (as in Pérez et al. 2003,
Poisson image editing, whose solution depends on the sides alone) by transfinite interpolation
(Coons 1967), which needs no equations to be solved, and it fades before the face is reached.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter1d

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BORDER = 0.12
"""Share of the square's side over which frame turns into face."""
RING = 0.03
"""Share of the side, at the sides, where their colours are compared."""
SMOOTH = 0.15
"""Share of the side over which that comparison is averaged, so that light goes in and hair not."""


def paste(frame: Bytes, face: Bytes, crop: Sequence[float]) -> Bytes:
    """The frame with the face in it; outside of the crop every byte is the frame's.

    Args:
        frame: (H, W, 3) sRGB.
        face: (h, w, 3) sRGB, or (h, w, 4): where its alpha is 0, the frame shows.
        crop: x, y, width and height, in pixels of the frame, of what the face shows; it may reach
            beyond the frame.

    """
    x, y, width, height = (round(float(value)) for value in crop)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, frame.shape[1]), min(y + height, frame.shape[0])
    out = frame.copy()
    if right <= left or bottom <= top:
        return out
    source = _resized(face, width, height)[top - y : bottom - y, left - x : right - x]
    source, alpha = source[..., :3], source[..., 3:] / 255
    target = frame[top:bottom, left:right].astype(np.float32)
    # There is nothing to cross over to where the face ends with the frame.
    fading = (left > 0, right < frame.shape[1], top > 0, bottom < frame.shape[0])
    toned = source + _membrane(target - source) * (1 - _ramp(target.shape, 2 * BORDER, fading))
    weight = _ramp(target.shape, BORDER, fading)
    if alpha.size:
        weight = weight * alpha
    mixed = target + weight * (toned - target)
    out[top:bottom, left:right] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return out


def _resized(face: Bytes, width: int, height: int) -> Floats:
    if face.shape[:2] != (height, width):
        picture = Image.fromarray(face).resize((width, height), Image.Resampling.LANCZOS)
        face = np.asarray(picture)
    return face.astype(np.float32)


def _ramp(
    shape: tuple[int, ...], border: float, fading: tuple[bool, bool, bool, bool]
) -> Floats:
    """(H, W, 1): 0 at the sides that fade (left, right, top, bottom), 1 beyond the border."""
    left, right, top, bottom = fading
    column = _rise(shape[1], border * shape[1], left, right)
    row = _rise(shape[0], border * shape[0], top, bottom)
    return (row[:, None] * column)[..., None]


def _rise(count: int, border: float, first: bool, last: bool) -> Floats:
    """(count,) smoothly from 0 at the ends that fade to 1."""
    place = np.arange(count, dtype=np.float32)
    far = np.full(count, np.inf, np.float32)
    if first:
        far = np.minimum(far, place)
    if last:
        far = np.minimum(far, count - 1 - place)
    part = np.clip(far / max(border, 1.0), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def _membrane(difference: Floats) -> Floats:
    """(H, W, 3): the difference along the sides, smoothed, and spread over the inside."""
    height, width = difference.shape[:2]
    ring = max(1, round(RING * min(height, width)))
    top, bottom = (_smooth(part.mean(0)) for part in (difference[:ring], difference[-ring:]))
    left, right = (_smooth(part.mean(1)) for part in (difference[:, :ring], difference[:, -ring:]))
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    corners = [
        (a[end] + b[other]) / 2
        for a, end, b, other in ((top, 0, left, 0), (top, -1, right, 0),
                                 (bottom, 0, left, -1), (bottom, -1, right, -1))
    ]  # fmt: skip
    sides = (1 - down) * top + down * bottom + (1 - across) * left[:, None] + across * right[:, None]
    upper = (1 - across) * corners[0] + across * corners[1]
    lower = (1 - across) * corners[2] + across * corners[3]
    return np.asarray(sides - (1 - down) * upper - down * lower, np.float32)


def _smooth(side: Floats) -> Floats:
    """(N, 3) averaged along the side."""
    return np.asarray(uniform_filter1d(side, max(1, round(SMOOTH * len(side))), 0, mode="nearest"))
