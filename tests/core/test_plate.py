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

from core.avatars import Avatar, AvatarCard, save_avatar
from core.errors import ExitCode, UserError
from core.models.head import TINY, tiny_head_network
from core.plate import Plate
from core.protocol import RenderParams
from core.raster import Camera
from core.render import frame_name, render
from core.toy_head import write_toy_head
from core.tracking.tracker import tracker_python
from core.tracks import FaceTracks
from core.training.head_data import SetInfo, write_plan

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, COUNT = 64, 48, 10
CROP = (16.0, 8.0, 32.0, 32.0)


def shot(
    path: Path, pixels: np.ndarray, *options: str, stored: str = "gbrp", codec: str = "ffv1"
) -> Path:
    """A film of (N, H, W, 3) pictures, 25 a second."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
               "-s", f"{pixels.shape[2]}x{pixels.shape[1]}", "-r", "25", "-i", "pipe:0", *options,
               "-c:v", codec, "-pix_fmt", stored, str(path)]  # fmt: skip
    subprocess.run(command, input=pixels.tobytes(), check=True)
    return path


def rotated(film: Path, degrees: int) -> Path:
    """The film with a note that it is to be turned."""
    path = film.with_name(f"turned{degrees}.mov")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", str(degrees),
               "-i", str(film), "-c", "copy", str(path)]  # fmt: skip
    subprocess.run(command, check=True)
    return path


def plate(film: Path) -> Plate:
    return Plate(film, Fraction(25), 1, {})


def shown(film: Path) -> np.ndarray:
    return np.array(list(plate(film).frames(range(1, 5))))


def corners(width: int, height: int) -> np.ndarray:
    """Four pictures of another colour in each corner."""
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 2, : width // 2, 0] = 200
    image[height // 2 :, width // 2 :, 1] = 180
    image[: height // 2, width // 2 :, 2] = 220
    return np.array([image] * 4)


def soft() -> np.ndarray:
    """Four pictures, 72 x 58, of light that moves and rises smoothly."""
    y, x = np.mgrid[:58, :72]
    waves = [np.stack([x + k, y + x / 2, 72 - x - k], -1) / 20 for k in range(4)]
    return np.array([128 + 90 * np.sin(w) for w in waves]).astype(np.uint8)


def fields() -> np.ndarray:
    """Four pictures whose odd rows are seen later: a bar moves on between their fields."""
    whole = np.full((8, 64, 96, 3), 40, np.uint8)
    for index, image in enumerate(whole):
        image[:, 4 * index + 10 : 4 * index + 30] = 220
    woven = whole[::2].copy()
    woven[:, 1::2] = whole[1::2, 1::2]
    return woven


INTERLACED = ("-vf", "setfield=tff", "-flags", "+ilme+ildct", "-b:v", "8M")


def bright(curve: str) -> tuple[str, str]:
    """What makes a film one of HDR."""
    tags = f"color_trc={curve}:colorspace=bt2020nc:color_primaries=bt2020:range=tv"
    return (
        "-vf",
        f"scale=out_color_matrix=bt2020nc:out_range=tv,format=yuv420p10le,setparams={tags}",
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames at 25 a second, each of one grey: 20, 40, 60 ..."""
    pixels = np.repeat(np.arange(1, COUNT + 1, dtype=np.uint8) * 20, WIDTH * HEIGHT * 3)
    return shot(
        tmp_path_factory.mktemp("film") / "fïl m.mkv", pixels.reshape(COUNT, HEIGHT, WIDTH, 3)
    )


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
def avatar(footage: Path, tmp_path: Path) -> Avatar:
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    network = tiny_head_network(config=replace(TINY, looks=3))
    return save_avatar(tmp_path / "toy", card, Camera(), network, footage / "proxy.npz")


@pytest.fixture
def params(footage: Path, avatar: Avatar, tmp_path: Path) -> RenderParams:
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
        str(tmp_path / "t.npz"), str(avatar.folder), str(tmp_path / "out"), into=str(footage)
    )


def test_frames_come_at_the_tracks_rate(footage: Path, avatar: Avatar) -> None:
    same = Plate.of(footage, avatar, Fraction(25))
    assert [int(f[0, 0, 0]) for f in same.frames(range(1, COUNT + 1))] == list(range(20, 201, 20))
    assert [int(f[5, 5, 1]) for f in same.frames([2, 5, 9])] == [40, 100, 180]
    double = Plate.of(footage, avatar, Fraction(50))
    assert [int(f[0, 0, 0]) for f in double.frames([1, 3, 19])] == [20, 40, 200]
    assert next(same.frames([1])).shape == (HEIGHT, WIDTH, 3)


def test_the_crop_is_that_of_the_moment(footage: Path, avatar: Avatar) -> None:
    assert Plate.of(footage, avatar, Fraction(25)).crop(4).tolist() == [CROP[0] + 3, *CROP[1:]]
    assert Plate.of(footage, avatar, Fraction(50)).crop(7).tolist() == [CROP[0] + 3, *CROP[1:]]
    assert Plate.of(footage, avatar, Fraction(25)).crop(500).tolist() == [CROP[0] + 9, *CROP[1:]]


def with_rows(folder: Path, **columns: np.ndarray) -> Path:
    """The set with other values in its rows."""
    values = dict(np.load(folder / "params.npz"))
    np.savez(folder / "params.npz", **values | {n: np.asarray(v, np.float32) for n, v in columns.items()})
    return folder


def test_head_and_eyes_are_those_of_the_film(footage: Path, avatar: Avatar, params: RenderParams) -> None:
    turned = np.arange(COUNT)[:, None] * np.array([[0.01, -0.02, 0.003]])
    gaze = np.arange(COUNT)[:, None, None] * np.full((1, 2, 2), 0.01)
    plain = render(params), (Path(params.output) / frame_name(8)).read_bytes()
    seat = Plate.of(with_rows(footage, head_rotation=turned, gaze=gaze), avatar, Fraction(50))
    tracks = replace(FaceTracks.load(params.tracks), fps=Fraction(50))
    found = seat.seated(tracks)
    assert np.allclose(found.head_rotation, turned[:5].repeat(2, 0) + (np.arange(10) % 2)[:, None] * turned[1] / 2)
    assert np.allclose(found.gaze[9], 0.045)
    assert np.array_equal(found.expression, tracks.expression)
    assert np.array_equal(found.blink, tracks.blink)
    assert render(params).rendered == COUNT
    assert (Path(params.output) / frame_name(8)).read_bytes() != plain[1]


def test_frames_between_go_with_those_registered(footage: Path, avatar: Avatar) -> None:
    one, three = np.eye(3)[0], np.full((2, 3), 0.5)
    np.savez(footage / "registered.npz", numbers=np.array([3, 7]), head_rotation=np.array([one, 3 * one]),
             head_translation=np.zeros((2, 3)), shoulders=np.array([three, 5 * three])[:, :2])  # fmt: skip
    found = Plate.of(footage, avatar, Fraction(25))
    assert np.allclose(found.rows["head_rotation"][:, 0], [1, 1, 1, 1.5, 2, 2.5, 3, 3, 3, 3])
    assert np.allclose(found.shoulders(COUNT)[:, 1, 2], [0.5, 0.5, 0.5, 1, 1.5, 2, 2.5, 2.5, 2.5, 2.5])
    assert found.digest() != replace(found, rows=found.rows | {"shoulders": 0 * found.rows["shoulders"]}).digest()


@pytest.fixture
def films(footage: Path, film: Path, tmp_path: Path) -> Path:
    """The set with a second film, darker, whose last three frames are there, and a third without one."""
    dark = shot(tmp_path / "dark.mkv", np.full((COUNT, HEIGHT, WIDTH, 3), 9, np.uint8))
    known = dict(np.load(footage / "params.npz"))
    for name in ("film", "time", "crop"):
        known[name] = np.concatenate([known[name], known[name][-3:]])
    known = {n: np.concatenate([v, v[-3:]]) if len(v) == COUNT else v for n, v in known.items()}
    known["film"][-3:] = 1
    write_plan(footage, SetInfo("toy", 32, Camera(), (1,), films=(str(film), str(dark), str(tmp_path / "third.mkv"))), known)
    (tmp_path / "third.mkv").write_bytes(dark.read_bytes())
    return footage


def test_one_chooses_the_film(films: Path, avatar: Avatar, params: RenderParams, tmp_path: Path) -> None:
    for name in ("dark.mkv", str(tmp_path / "dark.mkv")):
        dark = Plate.of(films, avatar, Fraction(25), name)
        assert (dark.film.name, dark.look, len(dark.rows["time"])) == ("dark.mkv", 2, 3)
    assert Plate.of(films, avatar, Fraction(25)).look == 1
    render(params)
    assert render(replace(params, film="dark.mkv")).rendered == COUNT
    picture = np.asarray(Image.open(Path(params.output) / frame_name(3)))
    assert (picture[0, 0] == 9).all()
    with pytest.raises(UserError, match="'bright' is no film") as caught:
        render(replace(params, film="bright"))
    assert "dark.mkv, third.mkv" in caught.value.hint
    with pytest.raises(UserError, match="no picture could be used"):
        render(replace(params, film="third.mkv"))
    with pytest.raises(UserError) as caught:
        render(replace(params, film="dark.mkv", into=""))
    assert caught.value.code == ExitCode.USAGE


def test_another_avatars_set(params: RenderParams, avatar: Avatar, tmp_path: Path) -> None:
    write_toy_head(tmp_path / "other.npz")
    values = dict(np.load(tmp_path / "other.npz"))
    np.savez(tmp_path / "other.npz", **values | {"vertices": values["vertices"] * 1.01})
    save_avatar(tmp_path / "other", avatar.card, Camera(), avatar.network(), tmp_path / "other.npz")
    with pytest.raises(UserError, match="was not made from") as caught:
        render(replace(params, avatar=str(tmp_path / "other")))
    assert caught.value.code == ExitCode.BAD_INPUT


def test_a_film_too_short(footage: Path, avatar: Avatar) -> None:
    with pytest.raises(UserError, match="no frame 12 at 25 frames/s") as error:
        list(Plate.of(footage, avatar, Fraction(25)).frames([9, 12]))
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


def test_frames_of_another_rate_or_moment_are_not_kept(params: RenderParams, footage: Path) -> None:
    assert render(params).rendered == COUNT
    tracks = FaceTracks.load(params.tracks)
    replace(tracks, fps=Fraction(50)).save(Path(params.tracks))
    assert render(params).rendered == COUNT
    last = np.asarray(Image.open(Path(params.output) / frame_name(COUNT)))
    assert last[0, 0, 0] in {100, 120}
    assert render(params).kept == COUNT
    values = dict(np.load(footage / "params.npz"))
    values["time"] = values["time"] + 0.08
    np.savez(footage / "params.npz", **values)
    assert render(params).rendered == COUNT


@pytest.mark.parametrize(
    ("aspect", "width"), [("16/15", 77), ("17/16", 76), ("15/16", 68), ("1", 72)]
)
def test_columns_are_as_many_as_the_tracker_sees(tmp_path: Path, aspect: str, width: int) -> None:
    # 76.5 and 67.5 go to the even number, as Python rounds.
    wide = shot(tmp_path / "wide.mkv", corners(72, 58), "-vf", f"setsar={aspect}")
    frames = shown(wide)
    assert frames.shape == (4, 58, width, 3)
    assert np.abs(frames[0, 5, : width // 2 - 4].astype(int) - [200, 40, 40]).max() <= 1
    assert np.abs(frames[0, 5, width // 2 + 4 :].astype(int) - [40, 40, 220]).max() <= 1


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_the_film_is_upright(tmp_path: Path, degrees: int) -> None:
    wide = shot(
        tmp_path / "wide.mov",
        corners(72, 58),
        "-vf",
        "setsar=16/15",
        stored="yuv444p",
        codec="mpeg4",
    )
    frames = shown(rotated(wide, degrees))
    # Widened before it is turned.
    assert frames.shape[1:3] == ((58, 77) if degrees == 180 else (77, 58))
    assert np.abs(frames.astype(int) - np.rot90(shown(wide), degrees // 90, (1, 2))).max() <= 1


@pytest.mark.parametrize(("curve", "white"), [("smpte2084", 0.58), ("arib-std-b67", 0.75)])
def test_light_of_hdr_is_brought_to_srgb(tmp_path: Path, curve: str, white: float) -> None:
    level = round(255 * white)
    film = shot(tmp_path / "bright.mkv", np.full((4, 48, 64, 3), level, np.uint8), *bright(curve),
                stored="yuv420p10le")  # fmt: skip
    frames = shown(film)
    # Diffuse white: see the test of `to_srgb`.
    assert frames.min() >= 230
    assert frames.max() <= 250
    assert np.ptp(frames, -1).max() <= 1


def test_fields_are_woven(tmp_path: Path) -> None:
    pixels = fields()
    film = shot(tmp_path / "fields.mkv", pixels, *INTERLACED, stored="yuv420p", codec="mpeg2video")
    comb = np.abs(np.diff(shown(film).astype(int), axis=1)).mean()
    assert comb < 0.4 * np.abs(np.diff(pixels.astype(int), axis=1)).mean()


def test_the_tracker_sees_the_same(tmp_path: Path) -> None:
    try:
        python = tracker_python()
    except UserError:
        pytest.skip("the face tracker is not set up")
    wide = shot(
        tmp_path / "wide.mov", soft(), "-vf", "setsar=16/15", stored="yuv444p", codec="mpeg4"
    )
    films = [
        wide,
        *(rotated(wide, degrees) for degrees in (90, 180, -90)),
        shot(tmp_path / "fields.mkv", fields(), *INTERLACED, stored="yuv420p", codec="mpeg2video"),
        *(shot(tmp_path / f"{curve}.mkv", soft(), *bright(curve), stored="yuv420p10le")
          for curve in ("smpte2084", "arib-std-b67")),
    ]  # fmt: skip
    code = (
        "import sys, numpy as np\n"
        "from core.tracking.pictures import opened\n"
        "for path in sys.argv[1:]:\n"
        "    with opened(path) as reel:\n"
        "        np.save(path + '.npy', [image for image, _ in reel])"
    )
    subprocess.run([python, "-B", "-c", code, *map(str, films)], check=True, cwd=ROOT)
    for film in films:
        theirs = np.load(f"{film}.npy").astype(int)
        assert shown(film).shape == theirs.shape, film.name
        assert np.abs(shown(film) - theirs).mean() < 0.3, film.name


def test_a_film_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "junk.mkv").write_bytes(b"no film" * 100)
    with pytest.raises(UserError, match="no film that can be read") as error:
        shown(tmp_path / "junk.mkv")
    assert error.value.code == ExitCode.BAD_INPUT


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


@pytest.mark.parametrize("name", ["film.mp4", "nowhere", "."])
def test_a_plate_is_of_a_set_and_nothing_else(name: str, avatar: Avatar, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    with pytest.raises(UserError, match="is no set of footage") as caught:
        Plate.of(tmp_path / name, avatar, Fraction(25))
    assert "AVATAR.work" in caught.value.hint
