# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracks, heads and render sets that are damaged, foreign or impossible: one error with the path in it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.arkit import EMOTIONS, EXPRESSION_NAMES
from core.errors import ExitCode, UserError
from core.files import read_made, read_npz
from core.head.model import HeadModel
from core.lips import LipMap
from core.raster import Camera
from core.toy_head import write_toy_head
from core.tracks import FaceTracks, read_key
from core.training.data import clips, facegood, grid
from core.training.head_data import load_set, write_design
from core.training.head_poses import PoseDesign

Arrays = dict[str, np.ndarray]
Load = Callable[[Path], object]


def arrays_of(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def track_arrays() -> Arrays:
    """Two frames, as an .npz of another writer could hold them."""
    return {
        "version": np.array(1), "fps": np.array([25, 1]), "start": np.array(0.5),
        "expression_names": np.array(EXPRESSION_NAMES), "emotion_names": np.array(EMOTIONS),
        "expression": np.full((2, 42), 0.5), "blink": np.zeros((2, 2)), "gaze": np.zeros((2, 2, 2)),
        "head_rotation": np.zeros((2, 3)), "head_translation": np.zeros((2, 3)),
        "emotion": np.eye(2, 8), "tracked": np.array([True, False]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head, and a plan of a render set with registered frames, beside each other."""
    folder = tmp_path_factory.mktemp("sät")
    write_toy_head(folder / "proxy.npz", rings=3)
    write_design(folder, "toy", 32, PoseDesign(count=4), Camera())
    turned = np.zeros((2, 3), np.float32)
    np.savez(folder / "registered.npz", numbers=np.array([1, 3]), head_rotation=turned,
             head_translation=turned, shoulders=np.zeros((2, 2, 3)))  # fmt: skip
    return folder


@pytest.fixture
def folder(toy: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    for path in toy.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refused(load: Load, path: Path, named: Path | None = None) -> str:
    """The one line that is said of a bad file."""
    with pytest.raises(UserError) as caught:
        load(path)
    assert caught.value.code is ExitCode.BAD_INPUT
    said = str(caught.value)
    assert str(named or path) in said
    assert "\n" not in said
    return said


def load_or_refuse(load: Load, path: Path, named: Path | None = None) -> bool:
    """Whether the file is read; else it is refused as it should be."""
    try:
        load(path)
    except UserError:
        refused(load, path, named)
        return False
    return True


def flip(path: Path, load: Load, named: Path | None = None, step: int = 97) -> None:
    """Spoil one byte after the other, and see that most are noticed and none is a bug."""
    good, seen = path.read_bytes(), []
    # The records at the end say how the rest is packed: no byte of the last ones is left out.
    for place in [*range(0, len(good), step), *range(max(0, len(good) - 80), len(good))]:
        for bits in (0xFF, 0x01):
            path.write_bytes(good[:place] + bytes([good[place] ^ bits]) + good[place + 1 :])
            seen.append(load_or_refuse(load, named or path, path))
    assert not all(seen)
    path.write_bytes(good)
    load(named or path)


def lone_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros((2, 42), np.float32))
    return content.getvalue()


def archive_of(member: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(member, content)
    return out.getvalue()


def huge_array() -> bytes:
    """A header that promises more than any memory holds."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387, 42), }\n"
    return archive_of(
        "expression.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    )


NOT_ARCHIVES = {
    "empty": b"", "text": b"hello", "half": b"PK\x03\x04broken", "npy": lone_array(),
    "zip of text": archive_of("notes.txt", b"hello"), "zip of nothing": b"PK\x05\x06" + bytes(18),
    "huge": huge_array(), "pickle": b"\x80\x04N.",
}  # fmt: skip


@pytest.mark.parametrize("content", NOT_ARCHIVES.values(), ids=NOT_ARCHIVES)
def test_what_is_no_such_archive_is_refused_everywhere(folder: Path, content: bytes) -> None:
    path = folder / "x.npz"
    path.write_bytes(content)
    refused(FaceTracks.load, path)
    refused(HeadModel.load, path)
    for name in ("params.npz", "registered.npz", "set.json"):
        good = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        refused(load_set, folder, folder / name)
        (folder / name).write_bytes(good)


@pytest.mark.parametrize("kind", ["empty", "text", "half", "npy"])
def test_a_training_cache_that_is_damaged_is_refused(tmp_path: Path, kind: str) -> None:
    for name, load in (
        ("prepared.npz", clips.read),
        ("tracked/s1/clip.npz", lambda _: grid.tracked_clips(tmp_path, "s1", LipMap.from_head())),
        ("facegood/curves_arkit_30fps.npz", lambda _: list(facegood.recordings(tmp_path, LipMap.from_head()))),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(NOT_ARCHIVES[kind])
        refused(load, path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refused(FaceTracks.load, tmp_path)
    refused(HeadModel.load, tmp_path)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "stored"])
def test_tracks_with_a_wrong_byte(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "ä b.npz"
    np.savez(path, **track_arrays())
    if packed:
        FaceTracks.load(path).save(path, "key")
    flip(path, FaceTracks.load)
    good = path.read_bytes()
    for place in range(len(good) - 300, len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        read_key(path)  # says nothing of what is wrong, and makes nothing of it


BAD_TRACKS: dict[str, Arrays] = {
    "fps over 0": {"fps": np.array([25, 0])},
    "fps of one": {"fps": np.array([25])},
    "fps of three": {"fps": np.array([25, 1, 1])},
    "fps of none": {"fps": np.array([], np.int64)},
    "fps 0": {"fps": np.array([0, 1])},
    "fps negative": {"fps": np.array([-25, 1])},
    "fps below 1": {"fps": np.array([999, 1000])},
    "fps above 1000": {"fps": np.array([1001, 1])},
    "fps not whole": {"fps": np.array([29.97, 1])},
    "fps text": {"fps": np.array(["25", "1"])},
    "version 2": {"version": np.array(2)},
    "version twice": {"version": np.array([1, 1])},
    "version text": {"version": np.array("one")},
    "version nan": {"version": np.array(np.nan)},
    "start twice": {"start": np.array([0.0, 0.0])},
    "start text": {"start": np.array("now")},
    "start nan": {"start": np.array(np.nan)},
    "start infinite": {"start": np.array(np.inf)},
    "expression single": {"expression": np.array(0.5)},
    "expression flat": {"expression": np.zeros(42)},
    "expression text": {"expression": np.full((2, 42), "0.5")},
    "expression complex": {"expression": np.zeros((2, 42), complex)},
    "expression too large": {"expression": np.full((2, 42), 1e300)},
    "speech text": {"speech": np.full((2, 42), "half")},
    "blink records": {"blink": np.zeros((2, 2), [("left", "f4"), ("right", "f4")])},
    "blink dates": {"blink": np.zeros((2, 2), "M8[s]")},
    "gaze single": {"gaze": np.array(0.0)},
    "emotion infinite": {"emotion": np.full((2, 8), -np.inf)},
    "names single": {"expression_names": np.array("jawOpen")},
    "names are numbers": {"expression_names": np.arange(42)},
    "names nested": {"emotion_names": np.full((8, 1), "happy")},
    "too few emotions": {"emotion": np.eye(2, 7)},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", BAD_TRACKS.values(), ids=BAD_TRACKS)
def test_impossible_tracks(tmp_path: Path, change: Arrays) -> None:
    path = tmp_path / "tracks.npz"
    np.savez(path, **(track_arrays() | change))
    assert next(iter(change)) in refused(FaceTracks.load, path) or "fps" in change


@pytest.mark.parametrize("fps", [[1, 1], [1000, 1], [24000, 1001], [-25, -1]])
def test_tracks_of_every_allowed_rate(tmp_path: Path, fps: list[int]) -> None:
    path = tmp_path / "tracks.npz"
    np.savez(path, **(track_arrays() | {"fps": np.array(fps), "start": np.array([-0.5])}))
    tracks = FaceTracks.load(path)
    assert tracks.fps == Fraction(*fps)
    assert tracks.start == -0.5
    assert tracks.extra["tracked"].tolist() == [True, False]


@pytest.mark.parametrize("change", [{"fps": Fraction(0)}, {"fps": Fraction(-25)}, {"fps": Fraction(1001)},
                                    {"start": float("nan")}, {"start": float("-inf")}])  # fmt: skip
def test_tracks_are_not_made_of_an_impossible_time(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "tracks.npz"
    np.savez(path, **track_arrays())
    with pytest.raises(UserError, match="Expected a"):
        FaceTracks(**{**vars(FaceTracks.load(path)), **change})


def test_a_key_of_what_is_no_archive_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for content in NOT_ARCHIVES.values():
        path.write_bytes(content)
        assert read_key(path) == ""


def test_a_head_with_a_wrong_byte(folder: Path) -> None:
    flip(folder / "proxy.npz", HeadModel.load)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vertices", np.array(1.0)), ("vertices", np.array("a")), ("faces", np.array(3)),
        ("faces", np.full((4, 4), "1")), ("faces", np.full((4, 4), np.nan)), ("uv", np.array(0.5)),
        ("part_names", np.array("skin")), ("part_names", np.arange(4)),
        ("part_names", np.full((4, 1), "skin")), ("material_names", np.array("skin")),
        ("landmark_names", np.array("chin")), ("shape_names", np.array("jawOpen")),
        ("eye_radius", np.array("wide")), ("eye_radius", np.array(np.nan)),
        ("eye_center", np.full((2, 3), np.inf)), ("jaw_hinge", np.zeros((2, 3), complex)),
        ("head_weight", np.array(b"all")),
    ],
)  # fmt: skip
def test_an_impossible_head(folder: Path, name: str, value: np.ndarray) -> None:
    path = folder / "proxy.npz"
    np.savez(path, **(arrays_of(path) | {name: value}))
    assert name in refused(HeadModel.load, path)


@pytest.mark.parametrize("name", ["params.npz", "registered.npz", "set.json"])
def test_a_set_with_a_wrong_byte(folder: Path, name: str) -> None:
    flip(folder / name, load_set, folder, step=7 if name == "set.json" else 97)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("params.npz", {"arkit": np.array(0.5)}), ("params.npz", {"arkit": np.full((4, 52), "0.5")}),
        ("params.npz", {"gaze": np.zeros((4, 2, 2), complex)}),
        ("params.npz", {"gaze": np.full((4, 2, 2), np.nan)}),
        ("params.npz", {"head_rotation": np.full((4, 3), 1e300)}),
        ("registered.npz", {"numbers": np.array("one")}), ("registered.npz", {"numbers": np.array(2)}),
        ("registered.npz", {"numbers": np.array([1, 5])}),
        ("registered.npz", {"numbers": np.array([np.nan, 1])}),
        ("registered.npz", {"shoulders": np.array(0.0)}),
    ],
)  # fmt: skip
def test_an_impossible_row(folder: Path, file: str, change: Arrays) -> None:
    path = folder / file
    np.savez(path, **(arrays_of(path) | change))
    said = refused(load_set, folder, path)
    assert "arkit" in said or next(iter(change)) in said or "of another set" in said


@pytest.mark.parametrize(
    "content",
    ["[]", '"set"', "null", "[" * 100_000, '{"format": "gmtalker-render-set"}',
     {"size": float("inf")}, {"size": 0}, {"size": -32}, {"size": None}, {"camera": None},
     {"camera": {"fov_y": float("nan"), "position": [0, 0, 1]}},
     {"camera": {"fov_y": 0, "position": [0, 0, 1]}},
     {"camera": {"fov_y": 20, "position": [0, 0, float("inf")]}},
     {"camera": {"fov_y": 20, "position": [0, 0]}}, {"held_out": 3}, {"films": None}],
)  # fmt: skip
def test_an_impossible_set(folder: Path, content: str | dict[str, Any]) -> None:
    path = folder / "set.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text("utf-8")) | content)
    path.write_text(content, "utf-8")
    refused(load_set, folder, path)


def test_reading_an_npz_in_whole_and_in_part(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3), b=np.array(["ä"]))
    assert sorted(read_npz(path)) == ["a", "b"]
    assert read_npz(path, ["b"])["b"].tolist() == ["ä"]
    assert read_npz(path, []) == {}
    with pytest.raises(ValueError, match="c is not a file"):
        read_npz(path, ["c"])
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


def test_a_file_that_can_be_made_again_says_how(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    assert refused(lambda p: read_made(p, "Make it."), path).endswith("Make it.")
    np.savez(path, a=np.arange(3))
    assert read_made(path, "Make it.")["a"].tolist() == [0, 1, 2]
    assert refused(lambda p: read_made(p, "Make it.", ["b"]), path).endswith("Make it.")
