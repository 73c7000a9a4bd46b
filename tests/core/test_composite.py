# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.composite import BORDER, paste

Picture = NDArray[np.uint8]


def scene(height: int = 120, width: int = 160) -> Picture:
    """Smooth colours, and a head's worth of detail."""
    row, column = np.mgrid[:height, :width]
    planes = [100 + 60 * np.sin(row / 37 + k) + 50 * np.cos(column / 29 - k) for k in range(3)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def cut(frame: Picture, crop: tuple[int, int, int, int]) -> Picture:
    x, y, width, height = crop
    return frame[y : y + height, x : x + width]


CROP = (40, 20, 80, 80)


def test_the_frames_own_square_changes_nothing() -> None:
    frame = scene()
    made = paste(frame, cut(frame, CROP), CROP)
    assert np.abs(made.astype(int) - frame).max() <= 1


def test_outside_of_the_crop_every_byte_is_the_frames() -> None:
    frame = scene()
    face = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    made = paste(frame, face, CROP)
    inside = np.zeros(frame.shape[:2], bool)
    inside[20:100, 40:120] = True
    assert np.array_equal(made[~inside], frame[~inside])
    assert not np.array_equal(made[inside], frame[inside])


def test_the_face_itself_keeps_its_colours() -> None:
    frame = scene()
    face = np.full((80, 80, 3), (200, 150, 120), np.uint8)
    made = cut(paste(frame, face, CROP), CROP)
    assert np.abs(made[35:45, 35:45].astype(int) - face[0, 0]).max() <= 1


@pytest.mark.parametrize("cast", [(14, -6, 9), (-20, -20, -20)])
def test_a_cast_of_colour_leaves_no_edge(cast: tuple[int, int, int]) -> None:
    frame = scene()
    face = np.clip(cut(frame, CROP) + np.array(cast), 0, 255).astype(np.uint8)
    made = paste(frame, face, CROP).astype(int)
    for axis in (0, 1):
        assert np.abs(np.diff(made - frame, axis=axis)).max() <= max(np.abs(cast)) / 5
    # Within the border the face has hardly begun: it is still the frame.
    band = round(0.3 * BORDER * 80)
    assert np.abs(cut(made, (40, 20, 80, band)) - cut(frame, (40, 20, 80, band))).max() <= 3


def test_light_from_one_side_is_followed() -> None:
    frame = np.full((120, 160, 3), 120, np.uint8)
    slope = np.linspace(-30, 30, 80)[None, :, None]
    face = np.clip(120 + slope + np.zeros((80, 1, 3)), 0, 255).astype(np.uint8)
    made = paste(frame, face, CROP).astype(int)
    assert np.abs(np.diff(made, axis=1)).max() <= 3


@pytest.mark.parametrize("crop", [(-30, 20, 80, 80), (120, -25, 80, 80), (-20, -20, 200, 160)])
def test_a_crop_may_reach_beyond_the_frame(crop: tuple[int, int, int, int]) -> None:
    frame = scene()
    face = np.full((crop[3], crop[2], 3), 90, np.uint8)
    made = paste(frame, face, crop)
    assert made.shape == frame.shape
    x, y, width, height = crop
    middle = (max(x, 0) + min(x + width, 160)) // 2, (max(y, 0) + min(y + height, 120)) // 2
    assert np.abs(made[middle[1], middle[0]].astype(int) - 90).max() <= 25
    # Where the crop ends with the frame, the face is shown up to the last pixel.
    if x < 0:
        assert np.abs(made[middle[1], 0].astype(int) - frame[middle[1], 0]).max() > 0


def test_a_crop_beside_the_frame_changes_nothing() -> None:
    frame = scene()
    assert np.array_equal(paste(frame, np.zeros((9, 9, 3), np.uint8), (500, 0, 9, 9)), frame)


def test_a_face_of_another_size_is_fitted() -> None:
    frame = scene()
    face = np.repeat(np.repeat(cut(frame, CROP), 2, 0), 2, 1)
    made = paste(frame, face, CROP)
    assert np.abs(made.astype(int) - frame).max() <= 3


def test_alpha_lets_the_frame_through() -> None:
    frame = scene()
    face = np.zeros((80, 80, 4), np.uint8)
    assert np.array_equal(paste(frame, face, CROP), frame)
    face[:, 40:, 3] = 255
    made = paste(frame, face, CROP)
    assert np.array_equal(made[:, :80], frame[:, :80])
    assert made[60, 95].max() < 5
