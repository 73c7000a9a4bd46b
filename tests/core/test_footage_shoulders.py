# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration of shoulders: how far they have moved is found where it is known."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from core.footage.shoulders import register_shoulders
from core.head.model import HeadModel
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training.head_data import RenderSet, SetInfo, load_set, write_plan
from core.training.head_looks import Looks

SIZE = 128
COUNT = 24
HELD = tuple(range(19, 25))
METRE = Camera().focal(SIZE) / Camera().position[2]
"""Pixels."""


def moved(seed: int, bent: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(COUNT, 3) metres of the head, and (COUNT, 2, 3) of shoulders that go with it and a little on their own."""
    generator = np.random.default_rng(seed)
    head = np.zeros((COUNT, 3))
    head[:, :2] = generator.normal(0, 0.006, (COUNT, 2))
    shoulders = generator.normal(0, bent, (COUNT, 2, 3))
    shoulders[..., 2] = head[:, :2] * (0.8, 0.4) + generator.normal(0, 0.002, (COUNT, 2))
    return head, shoulders


def neck_end() -> np.ndarray:
    """(2,) column and row, from the middle of the picture."""
    with TemporaryDirectory() as folder:
        write_toy_head(Path(folder) / "head.npz")
        end = HeadModel.load(Path(folder) / "head.npz").neck_end
    return (end - Camera().position[:2]) * (METRE, -METRE)


def pictures(shoulders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(COUNT, SIZE, SIZE) of a patterned coat before a plain wall, and where the coat is."""
    generator = np.random.default_rng(7)
    cloth = 128 + 400 * gaussian_filter(generator.normal(size=(3 * SIZE, 3 * SIZE)), 3)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    out, masks = np.full((COUNT, SIZE, SIZE), 200.0), np.zeros((COUNT, SIZE, SIZE))
    end = neck_end() + SIZE / 2 - 0.5
    flip = np.array([1, -1])  # Rows go down.
    for index, by in enumerate(shoulders):
        turn = np.linalg.inv(np.eye(2) + by[:, :2] * flip[:, None] * flip)
        place = (np.stack([columns, rows], -1) - end - by[:, 2] * METRE * flip) @ turn.T + end
        column, row = np.moveaxis(place, -1, 0)
        inside = row > 0.8 * SIZE + (column - SIZE / 2) ** 2 / SIZE / 2
        whole = np.round(4 * (row + SIZE)).astype(int) // 4, np.round(4 * (column + SIZE)).astype(int) // 4
        out[index][inside] = cloth[whole][inside]
        masks[index] = 255 * inside
    return out.clip(0, 255).astype(np.uint8), masks.astype(np.uint8)


def footage(folder: Path, head: np.ndarray, frames: np.ndarray, masks: np.ndarray) -> RenderSet:
    """A set of one film."""
    params = {
        "arkit": np.zeros((COUNT, 52)), "gaze": np.zeros((COUNT, 2, 2)), "head_rotation": np.zeros((COUNT, 3)),
        "head_translation": head, "emotion": np.eye(8)[[0] * COUNT], "film": np.zeros(COUNT),
        "time": np.arange(COUNT) / 25, "picture": np.arange(COUNT), "crop": np.tile([0, 0, SIZE, SIZE], (COUNT, 1)),
    }  # fmt: skip
    info = SetInfo("toy", SIZE, Camera(), HELD, films=("film.mp4",))
    write_plan(folder, info, {n: np.asarray(v, np.float32) for n, v in params.items()})
    write_toy_head(folder / "proxy.npz")
    for name, images in (("frames", frames), ("masks", masks)):
        (folder / name).mkdir()
        for number, image in enumerate(images, 1):
            Image.fromarray(image).convert("RGB" if name == "frames" else "L").save(folder / name / f"{number:06d}.png")
    return load_set(folder)


def seen(shoulders: np.ndarray) -> np.ndarray:
    """(COUNT, 5, 2) pixels that points of the coat have moved by."""
    right, down = np.array([[-40, 45], [-20, 50], [0, 55], [20, 50], [40, 45]]).T - neck_end()[:, None]
    return np.einsum("nij,jk->nki", shoulders, np.stack([right / METRE, -down / METRE, np.ones(5)])) * METRE


@pytest.mark.parametrize("bent", [0.0, 0.02])
def test_shoulders_are_found_to_a_fraction_of_a_pixel(tmp_path: Path, bent: float) -> None:
    head, truth = moved(0, bent)
    data = footage(tmp_path, head, *pictures(truth))
    assert np.abs(data.params["shoulders"]).max() == 0
    found = register_shoulders(data, Looks.of(data))
    # All frames of a sitting may be off by the same: what counts is how they move.
    off = seen(found) - seen(truth)
    off -= off.mean(0)
    assert np.abs(off).mean() < 0.35, np.abs(off).mean()
    assert np.abs(seen(truth)).mean() > 1


def test_zero_is_where_they_are_when_the_head_is_at_rest(tmp_path: Path) -> None:
    head, truth = moved(1)
    head[:, 0] += 0.02  # This sitting leaned to the left all the time, and its coat with it.
    data = footage(tmp_path, head, *pictures(truth))
    found = register_shoulders(data, Looks.of(data))
    assert np.isclose(found[:18, 0, 2].mean(), 0.8 * head[:18, 0].mean(), atol=0.004)


def test_a_close_up_without_shoulders_has_them_still(tmp_path: Path) -> None:
    head, truth = moved(3)
    frames, masks = pictures(truth)
    data = footage(tmp_path, head, frames, masks * 0)
    assert np.abs(register_shoulders(data, Looks.of(data))).max() == 0
