# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from core.avatars import AvatarCard, save_avatar
from core.errors import ExitCode, UserError
from core.models.head import tiny_head_network
from core.plate import Plate
from core.protocol import RenderParams
from core.raster import Camera
from core.render import frame_name, render
from core.toy_head import write_toy_head
from core.tracks import FaceTracks
from core.training.head_data import SetInfo, write_plan

WIDTH, HEIGHT, COUNT = 64, 48, 10
CROP = (16.0, 8.0, 32.0, 32.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames at 25 a second, each of one grey: 20, 40, 60 ..."""
    path = tmp_path_factory.mktemp("film") / "fïl m.mkv"
    pixels = np.repeat(np.arange(1, COUNT + 1, dtype=np.uint8) * 20, WIDTH * HEIGHT * 3)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
               "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "pipe:0", "-c:v", "ffv1",
               "-pix_fmt", "gbrp", str(path)]  # fmt: skip
    subprocess.run(command, input=pixels.tobytes(), check=True)
    return path


@pytest.fixture
def footage(film: Path, tmp_path: Path) -> Path:
    """A set of that film; the crop moves a pixel a frame."""
    rows = COUNT
    params = {
        "arkit": np.zeros((rows, 52)), "gaze": np.zeros((rows, 2, 2)),
        "head_rotation": np.zeros((rows, 3)), "head_translation": np.zeros((rows, 3)),
        "emotion": np.eye(8)[[0] * rows], "film": np.zeros(rows), "time": np.arange(rows) / 25,
        "picture": np.arange(rows), "crop": np.array([CROP] * rows) + [[k, 0, 0, 0] for k in range(rows)],
    }  # fmt: skip
    folder = tmp_path / "set"
    info = SetInfo("toy", 32, Camera(), (1,), films=(str(film),))
    write_plan(folder, info, {n: np.asarray(v, np.float32) for n, v in params.items()})
    write_toy_head(folder / "proxy.npz")
    return folder


@pytest.fixture
def params(footage: Path, tmp_path: Path) -> RenderParams:
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    save_avatar(tmp_path / "toy", card, Camera(), tiny_head_network(), footage / "proxy.npz")
    count = COUNT
    tracks = FaceTracks(
        fps=Fraction(25), expression=np.zeros((count, 42), np.float32),
        blink=np.zeros((count, 2), np.float32), gaze=np.zeros((count, 2, 2), np.float32),
        head_rotation=np.zeros((count, 3), np.float32),
        head_translation=np.zeros((count, 3), np.float32),
        emotion=np.eye(8, dtype=np.float32)[[0] * count],
    )  # fmt: skip
    tracks.save(tmp_path / "t.npz")
    return RenderParams(
        str(tmp_path / "t.npz"), str(tmp_path / "toy"), str(tmp_path / "out"), into=str(footage)
    )


def test_frames_come_at_the_tracks_rate(footage: Path) -> None:
    same = Plate.of(footage, Fraction(25))
    assert [int(f[0, 0, 0]) for f in same.frames(range(1, COUNT + 1))] == list(range(20, 201, 20))
    assert [int(f[5, 5, 1]) for f in same.frames([2, 5, 9])] == [40, 100, 180]
    double = Plate.of(footage, Fraction(50))
    assert [int(f[0, 0, 0]) for f in double.frames([1, 3, 19])] == [20, 40, 200]
    assert next(same.frames([1])).shape == (HEIGHT, WIDTH, 3)


def test_the_crop_is_that_of_the_moment(footage: Path) -> None:
    assert Plate.of(footage, Fraction(25)).crop(4).tolist() == [CROP[0] + 3, *CROP[1:]]
    assert Plate.of(footage, Fraction(50)).crop(7).tolist() == [CROP[0] + 3, *CROP[1:]]
    assert Plate.of(footage, Fraction(25)).crop(500).tolist() == [CROP[0] + 9, *CROP[1:]]


def test_a_film_too_short(footage: Path) -> None:
    with pytest.raises(UserError, match="no frame 12 at 25 frames/s") as error:
        list(Plate.of(footage, Fraction(25)).frames([9, 12]))
    assert error.value.code == ExitCode.BAD_INPUT


def test_frames_go_into_the_film(params: RenderParams) -> None:
    assert render(params).rendered == COUNT
    for number in (1, 6, 10):
        picture = np.asarray(Image.open(Path(params.output) / frame_name(number))).astype(int)
        assert picture.shape == (HEIGHT, WIDTH, 3)
        left = int(CROP[0]) + number - 1
        around = np.ones((HEIGHT, WIDTH), bool)
        around[8:40, left : left + 32] = False
        assert (picture[around] == 20 * number).all()
        assert picture[~around].std() > 2
        # No edge: the film's grey goes on just inside of the crop.
        assert np.abs(picture[8, left : left + 32] - 20 * number).max() <= 1
    assert render(params).kept == COUNT
    assert render(replace(params, into="")).rendered == COUNT


def test_a_set_without_a_film(params: RenderParams, footage: Path, film: Path) -> None:
    said = (footage / "set.json").read_text()
    (footage / "set.json").write_text(said.replace(film.name.replace("ï", "\\u00ef"), "gone.mkv"))
    with pytest.raises(UserError, match="gone"):
        render(params)
    write_plan(footage, SetInfo("toy", 32, Camera(), (1,)), dict(np.load(footage / "params.npz")))
    with pytest.raises(UserError, match="no film") as error:
        render(params)
    assert error.value.code == ExitCode.BAD_INPUT
    assert not list(Path(params.output).glob("*.png"))
