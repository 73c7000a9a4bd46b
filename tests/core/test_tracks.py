# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES
from core.errors import UserError
from core.tracks import FaceTracks, parse_fps


def make(frames: int = 5, fps: Fraction = Fraction(25)) -> FaceTracks:
    rng = np.random.default_rng(3)
    return FaceTracks(
        fps=fps,
        expression=rng.random((frames, 42), np.float32),
        blink=rng.random((frames, 2), np.float32),
        gaze=rng.normal(0, 0.2, (frames, 2, 2)).astype(np.float32),
        head_rotation=rng.normal(0, 0.1, (frames, 3)).astype(np.float32),
        head_translation=np.zeros((frames, 3), np.float32),
        emotion=np.eye(8, dtype=np.float32)[np.zeros(frames, int)],
        start=0.25,
    )


def test_names() -> None:
    assert len(ARKIT_NAMES) == 52
    assert list(ARKIT_NAMES) == sorted(ARKIT_NAMES)
    assert len(EXPRESSION_NAMES) == 42
    assert len(EMOTIONS) == 8


def test_a_round_trip_keeps_everything_and_the_bytes(tmp_path: Path) -> None:
    tracks = make()
    one, two = tmp_path / "ä b.npz", tmp_path / "two.npz"
    tracks.save(one)
    loaded = FaceTracks.load(one)
    loaded.save(two)
    assert one.read_bytes() == two.read_bytes()
    assert loaded.fps == Fraction(25)
    assert loaded.start == 0.25
    np.testing.assert_array_equal(loaded.gaze, tracks.gaze)
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


@pytest.mark.parametrize(
    ("text", "fps"),
    [("25", Fraction(25)), ("29.97", Fraction(30000, 1001)), ("24000/1001", Fraction(24000, 1001)),
     ("23.98", Fraction(24000, 1001)), ("23.980", Fraction(24000, 1001)), ("59.94006", Fraction(60000, 1001)),
     ("23.976023976023976023976", Fraction(24000, 1001)), ("24.98", Fraction(1249, 50)),
     ("2397/100", Fraction(2397, 100)), ("12.5", Fraction(25, 2))],
)  # fmt: skip
def test_fps(text: str, fps: Fraction) -> None:
    assert parse_fps(text) == fps


@pytest.mark.parametrize("text", ["0", "-5", "nan", "1/0", "fast", "2000"])
def test_a_bad_fps_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_fps(text)


def test_an_hour_at_ntsc_does_not_drift() -> None:
    tracks = make(107_893, Fraction(30000, 1001))
    assert tracks.times()[-1] - 0.25 == pytest.approx(107_892 * 1001 / 30000, abs=1e-9)


def test_gaze_becomes_look_shapes_of_the_right_side() -> None:
    tracks = make(1)
    left = FaceTracks(**{**vars(tracks), "gaze": np.full((1, 2, 2), [0.52, -0.44], np.float32)})
    weight = dict(zip(ARKIT_NAMES, left.arkit_weights()[0]))
    assert weight["eyeLookOutLeft"] == pytest.approx(1)
    assert weight["eyeLookInRight"] == pytest.approx(1)
    assert weight["eyeLookDownLeft"] == pytest.approx(1)
    assert weight["eyeLookInLeft"] == weight["eyeLookOutRight"] == weight["eyeLookUpLeft"] == 0


def test_not_a_number_and_wrong_shapes_are_refused() -> None:
    tracks = make(2)
    with pytest.raises(UserError, match="not a number"):
        FaceTracks(**{**vars(tracks), "blink": np.full((2, 2), np.nan)})
    with pytest.raises(UserError, match="should be"):
        FaceTracks(**{**vars(tracks), "blink": np.zeros((3, 2))})


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_a_file_that_is_not_tracks_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(UserError):
        FaceTracks.load(path)


def test_missing_file_and_missing_arrays(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        FaceTracks.load(tmp_path / "none.npz")
    np.savez(tmp_path / "few.npz", version=1)
    with pytest.raises(UserError, match="lacks"):
        FaceTracks.load(tmp_path / "few.npz")


@pytest.mark.skipif(os.name != "posix" or not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open
    monkeypatch.setattr("builtins.open", lambda path, mode="r", *a, **k:
                        real("/dev/full", mode) if "w" in mode else real(path, mode, *a, **k))  # fmt: skip
    with pytest.raises(UserError, match="Cannot write"):
        make().save(tmp_path / "t.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["none/t.npz", "x" * 300])
def test_writing_where_no_file_can_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="Cannot write"):
        make().save(tmp_path / name)


def test_cut_moves_the_start() -> None:
    part = make(10).cut(5, 7)
    assert len(part) == 3
    assert part.start == pytest.approx(0.25 + 0.2)
