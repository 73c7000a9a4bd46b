# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.angles import axis_angle
from core.arkit import ARKIT_NAMES, EXPRESSION_NAMES
from core.errors import ExitCode, UserError
from core.export import LIVE_LINK_NAMES, export, timecode
from core.tracks import FaceTracks


@pytest.fixture
def tracks() -> FaceTracks:
    rng = np.random.default_rng(0)
    return FaceTracks(
        fps=Fraction(30000, 1001),
        expression=rng.random((40, len(EXPRESSION_NAMES)), np.float32),
        blink=rng.random((40, 2), np.float32),
        gaze=rng.normal(0, 0.2, (40, 2, 2)),
        head_rotation=axis_angle(np.tile([10.0, 5.0, -3.0], (40, 1))),
        head_translation=rng.normal(0, 0.01, (40, 3)),
        emotion=np.eye(8)[np.zeros(40, int)],
    )


def test_live_link_names_are_the_arkit_ones() -> None:
    assert sorted(LIVE_LINK_NAMES) == list(ARKIT_NAMES)


def test_csv(tracks: FaceTracks, tmp_path: Path) -> None:
    path = tmp_path / "face ü.csv"
    export(tracks, "arkit-csv", path)
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert len(rows) == 40
    assert list(rows[0])[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert len(rows[0]) == 2 + 61
    weights = tracks.arkit_weights()
    for name in ("jawOpen", "eyeLookInRight", "tongueOut"):
        got = [float(r[name[0].upper() + name[1:]]) for r in rows]
        np.testing.assert_allclose(got, weights[:, ARKIT_NAMES.index(name)], atol=1e-6)
    angles = [float(rows[7][f"Head{a}"]) for a in ("Yaw", "Pitch", "Roll")]
    np.testing.assert_allclose(np.degrees(angles), [10, 5, -3], atol=1e-3)
    assert float(rows[7]["RightEyePitch"]) == pytest.approx(float(tracks.gaze[7, 1, 1]), abs=1e-6)
    assert rows[31]["Timecode"] == "00:00:01:01.000"


def test_a_timecode_after_an_hour(tracks: FaceTracks) -> None:
    assert timecode(tracks, 30 * 3661 + 7) == "01:01:01:07.000"


def test_json(tracks: FaceTracks, tmp_path: Path) -> None:
    export(tracks, "arkit-json", tmp_path / "face.json")
    said = json.loads((tmp_path / "face.json").read_text("utf-8"))
    assert said["fps"] == [30000, 1001]
    assert said["names"] == list(ARKIT_NAMES)
    np.testing.assert_allclose(said["weights"], tracks.arkit_weights(), atol=1e-6)
    np.testing.assert_allclose(said["head_rotation"], tracks.head_rotation, atol=1e-6)


def test_a_name_that_is_too_long(tracks: FaceTracks, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot write"):
        export(tracks, "arkit-csv", tmp_path / ("x" * 300))


def test_an_unknown_format_and_a_bad_place(tracks: FaceTracks, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export(tracks, "fbx", tmp_path / "x")
    assert caught.value.code == ExitCode.USAGE
    assert "arkit-csv" in str(caught.value)
    for place in (tmp_path, tmp_path / "missing" / "x.csv"):
        with pytest.raises(UserError) as caught:
            export(tracks, "arkit-csv", place)
        assert caught.value.code == ExitCode.BAD_INPUT
    assert list(tmp_path.iterdir()) == []
