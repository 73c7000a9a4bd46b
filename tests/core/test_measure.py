# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.angles import axis_angle
from core.arkit import EXPRESSION_NAMES
from core.measure import COLUMNS, measure, write_measures
from core.tracks import FaceTracks


def face(frames: int = 1, **changes: object) -> FaceTracks:
    given = {
        "expression": np.zeros((frames, len(EXPRESSION_NAMES))),
        "blink": np.zeros((frames, 2)),
        "gaze": np.zeros((frames, 2, 2)),
        "head_rotation": np.zeros((frames, 3)),
        "head_translation": np.zeros((frames, 3)),
        "emotion": np.eye(8)[np.zeros(frames, int)],
    }
    return FaceTracks(fps=Fraction(30000, 1001), start=2.0, **(given | changes))  # type: ignore[arg-type]


def shaped(**weights: float) -> FaceTracks:
    row = np.zeros((1, len(EXPRESSION_NAMES)))
    for name, value in weights.items():
        row[0, EXPRESSION_NAMES.index(name)] = value
    return face(expression=row)


def seen(tracks: FaceTracks, column: str) -> float:
    return float(measure(tracks)[0, COLUMNS.index(column)])


def test_the_resting_face_is_shut_and_still() -> None:
    row = dict(zip(COLUMNS, measure(face())[0]))
    assert row["lip_gap"] < 0.01
    assert 0.3 < row["lip_width"] < 0.8
    for name in ("jaw_drop", "blink_left", "gaze_yaw", "yaw", "pitch", "roll"):
        assert row[name] == pytest.approx(0, abs=1e-6)


def test_the_mouth_opens_and_widens() -> None:
    gaps = [seen(shaped(jawOpen=w), "lip_gap") for w in (0.0, 0.3, 0.6, 1.0)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 0.15
    assert seen(shaped(jawOpen=1), "jaw_drop") > 0.1
    assert seen(shaped(jawOpen=1, mouthClose=1), "lip_gap") < 0.3 * gaps[-1]
    wide = seen(shaped(mouthSmileLeft=1, mouthSmileRight=1), "lip_width")
    narrow = seen(shaped(mouthPucker=1), "lip_width")
    assert narrow < seen(face(), "lip_width") < wide


def test_each_lid_shuts_alone() -> None:
    row = measure(face(blink=np.array([[1.0, 0.0]])))[0]
    left, right = (row[COLUMNS.index(f"blink_{s}")] for s in ("left", "right"))
    assert left > 0.9
    assert right < 0.05


def test_angles_are_degrees_in_the_stated_sense() -> None:
    turned = face(head_rotation=axis_angle([[12.0, -7.0, 4.0]]))
    for name, value in (("yaw", 12), ("pitch", -7), ("roll", 4)):
        assert seen(turned, name) == pytest.approx(value, abs=1e-3)
    assert seen(turned, "lip_gap") == seen(face(), "lip_gap")
    looking = face(gaze=np.radians([[[8.0, 3.0], [12.0, 5.0]]]))
    assert seen(looking, "gaze_yaw") == pytest.approx(10)
    assert seen(looking, "gaze_pitch") == pytest.approx(4)


def test_the_table(tmp_path: Path) -> None:
    tracks = face(300)
    steps: list[int] = []
    table = measure(tracks, progress=lambda stage, done, total: steps.append(done))
    assert steps[-1] == 300
    write_measures(table, tmp_path / "m.csv")
    with open(tmp_path / "m.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[299]["frame"] == "300"
    assert float(rows[299]["time"]) == pytest.approx(2 + 299 * 1001 / 30000, abs=1e-6)
