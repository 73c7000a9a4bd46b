# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration of heads by their pictures: poses that are off by some tenths of a pixel are put right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter

from core.conditioning import HeadRenderer
from core.errors import UserError
from core.footage.dataset import register
from core.footage.photometric import register_heads
from core.footage.pose import project
from core.head.model import HeadModel
from core.progress import silent
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training.head_data import REGISTERED, SEEN, RenderSet, SetInfo, load_set, write_plan
from core.training.head_looks import Looks

SIZE = 128
COUNT = 16
HELD = (13, 14, 15, 16)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[RenderSet, dict[str, np.ndarray]]:
    """A set of a freckled toy head whose poses are off, and what they should be."""
    folder, generator = tmp_path_factory.mktemp("freckles"), np.random.default_rng(0)
    truth = {
        "head_rotation": generator.normal(0, 0.05, (COUNT, 3)), "head_translation": generator.normal(0, 0.004, (COUNT, 3)),
    }  # fmt: skip
    off = {"head_rotation": generator.normal(0, 0.006, (COUNT, 3)),
           "head_translation": generator.normal(0, (0.001, 0.001, 0.003), (COUNT, 3))}  # fmt: skip
    params = {
        "arkit": np.zeros((COUNT, 52)), "gaze": np.zeros((COUNT, 2, 2)), "emotion": np.eye(8)[[0] * COUNT],
        "film": np.zeros(COUNT), "time": np.arange(COUNT) / 25, "picture": np.arange(COUNT),
        "crop": np.tile([0, 0, SIZE, SIZE], (COUNT, 1)), **{name: truth[name] + off[name] for name in truth},
    }  # fmt: skip
    info = SetInfo("toy", SIZE, Camera(), HELD, films=("film.mp4",))
    write_plan(folder, info, {n: np.asarray(v, np.float32) for n, v in params.items()})
    write_toy_head(folder / "proxy.npz")
    freckles = 0.5 + 2 * gaussian_filter(generator.normal(size=(256, 256)), 4)
    texture = torch.from_numpy(freckles.clip(0, 1).astype(np.float32))[None, None]
    renderer = HeadRenderer(folder / "proxy.npz", Camera(), SIZE)
    for name in ("frames", "masks"):
        (folder / name).mkdir()
    right = {n: np.asarray(v, np.float32) for n, v in (params | truth | {"shoulders": np.zeros((COUNT, 2, 3))}).items()}
    for number in range(1, COUNT + 1):
        seen = renderer.render(*(right[name][number - 1 : number] for name in SEEN))
        grey = (F.grid_sample(texture, seen.surface, align_corners=False)[0, 0] * 255).byte().numpy()
        Image.fromarray(grey).convert("RGB").save(folder / "frames" / f"{number:06d}.png")
        Image.fromarray(grey).save(folder / "masks" / f"{number:06d}.png")
    return load_set(folder), truth


def pixels(data: RenderSet, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(COUNT, K, 2) where the middle of the face is."""
    head = HeadModel.load(data.proxy)
    zero = np.zeros((COUNT, 52), np.float32), np.zeros((COUNT, 2, 2), np.float32)
    posed = head.deform(*zero, np.asarray(rotation, np.float32), np.asarray(translation, np.float32))
    front = (head.vertices[:, 2] > 0.07) & (head.vertices[:, 1] > 0.01) & (head.vertices[:, 1] < 0.08)
    return project(data.info.camera, SIZE, posed[:, front].astype(np.float64))


def test_heads_lie_where_they_are_seen(films: tuple[RenderSet, dict[str, np.ndarray]]) -> None:
    data, truth = films
    poses = register_heads(data, Looks.of(data), silent)
    right = pixels(data, truth["head_rotation"], truth["head_translation"])

    def off(rotation: np.ndarray, translation: np.ndarray) -> float:
        apart = pixels(data, rotation, translation) - right
        # What all frames have in common cannot be told, and does not blur.
        return float(np.linalg.norm(apart - apart.mean(0), axis=-1).mean())

    before = off(data.params["head_rotation"], data.params["head_translation"])
    after = off(poses.rotation, poses.translation)
    assert before > 0.4
    assert after < 0.4 * before, (before, after)


def test_it_is_written_once_and_read_with_the_set(films: tuple[RenderSet, dict[str, np.ndarray]]) -> None:
    data, _ = films
    path = data.folder / REGISTERED
    again = load_set(data.folder)
    register(again)
    first = path.stat().st_mtime_ns
    read = load_set(data.folder)
    assert np.array_equal(read.params["head_rotation"], again.params["head_rotation"])
    assert not np.array_equal(read.params["head_rotation"], data.params["head_rotation"])
    register(read)
    assert path.stat().st_mtime_ns == first
    register(replace(read, numbers=read.numbers[:-1]))
    assert path.stat().st_mtime_ns != first
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="registered"):
        load_set(data.folder)
    np.savez(path, numbers=np.array([99]), head_rotation=np.zeros((1, 3)), head_translation=np.zeros((1, 3)),
             shoulders=np.zeros((1, 2, 3)))  # fmt: skip
    with pytest.raises(UserError, match="another set"):
        load_set(data.folder)
