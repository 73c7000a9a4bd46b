# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.arkit import EMOTIONS
from core.emotion_curve import constant, load, parse_weights
from core.errors import ExitCode, UserError

HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_left_of_one_is_neutral() -> None:
    row = constant({"happy": 0.3, "sad": 0.2}).at([0.0, 99.0])
    assert row.shape == (2, 8)
    np.testing.assert_allclose(row[:, [0, HAPPY, SAD]], [[0.5, 0.3, 0.2]] * 2)


@pytest.mark.parametrize(
    ("weights", "neutral"),
    [({}, 1.0), ({"happy": 0.9, "sad": 0.9}, 0.0), ({"neutral": 0.2, "happy": 0.3}, 0.7)],
    ids=["none", "more than one", "neutral given"],
)
def test_neutral(weights: dict[str, float], neutral: float) -> None:
    assert constant(weights).at([1.0])[0, 0] == pytest.approx(neutral)


def test_weights_on_the_command_line() -> None:
    assert parse_weights(" happy = 0.8, sad=.2,") == {"happy": 0.8, "sad": 0.2}
    assert parse_weights("") == {}


@pytest.mark.parametrize(
    "text",
    ["happy", "joy=1", "happy=1.5", "happy=-0.1", "happy=nan", "happy=inf", "happy=much",
     "happy=0.1,happy=0.2", "=0.5", "happy="],
)  # fmt: skip
def test_wrong_weights(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_weights(text)
    assert caught.value.code == ExitCode.BAD_INPUT
    assert "\n" not in str(caught.value)


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    rows = [[0.0, 0.1], [0.5, 0.1], [1.0, 0.0]]
    one = write(tmp_path / "ä.json", json.dumps(
        {"fps": [30000, 1001], "names": ["happy", "sad"], "weights": rows}))  # fmt: skip
    lines = [f"{i * 1001 / 30000!r},{h},{s}" for i, (h, s) in enumerate(rows)]
    two = write(tmp_path / "b.csv", "\n".join(["time, happy, sad", *lines]) + "\n")
    times = [-1.0, 0.0, 0.01, 1001 / 30000, 0.05, 9.0]
    np.testing.assert_allclose(load(one).at(times), load(two).at(times))
    at_key = load(one).at([1001 / 30000])[0]
    np.testing.assert_allclose(at_key[[0, HAPPY, SAD]], [0.4, 0.5, 0.1], atol=1e-12)
    np.testing.assert_allclose(load(one).at([9.0])[0, [0, HAPPY]], [0, 1], atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", "nothing", "time,happy\n", "time,joy\n0,1\n", "time,happy\n0,nan\n",
        "time,happy\n0,2\n", "time,happy\n1,0\n0,1\n", "time,happy\n0\n", "time,happy,happy\n0,0,0\n",
        '{"fps": [0, 1], "names": ["happy"], "weights": [[1]]}',
        '{"fps": [25, 1], "names": ["happy"], "weights": [[1, 2]]}',
        '{"fps": [25, 1], "names": ["happy"], "weights": [["x"]]}',
        '{"fps": [25, 1], "names": ["happy"], "weights": [[null]]}',
        '{"fps": [25, 1], "names": ["happy"], "weights": []}',
        '{"fps": 25, "names": ["happy"], "weights": [[1]]}',
        '{"fps": [25, 1], "names": "happy", "weights": [[1]]}',
        '{"fps": [25, 1], "names": ["happy"], "weights": {"1": [0], "2": [0]}}',
        '{"fps": [25, 1], "names": ["happy"], "weights": ["1", "0"]}',
        '{"fps": [25, 1], "names": ["happy"], "weights": ' + "[" * 100_000,
        '{"fps": [1e999, 1], "names": ["happy"], "weights": [[1]]}',
        f'{{"fps": [1, 1{"0" * 400}], "names": ["happy"], "weights": [[1], [1]]}}',
        f'{{"fps": [25, 1], "names": ["happy"], "weights": [[1{"0" * 400}]]}}',
    ],
)  # fmt: skip
def test_a_wrong_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as caught:
        load(write(tmp_path / "curve", text))
    assert caught.value.code == ExitCode.BAD_INPUT


def test_a_rate_with_a_point_is_taken_as_it_is(tmp_path: Path) -> None:
    rows = [[0.0]] * 100 + [[1.0]] * 2
    text = json.dumps({"fps": [29.97, 1], "names": ["happy"], "weights": rows})
    curve = load(write(tmp_path / "c.json", text))
    np.testing.assert_allclose(curve.times, np.arange(102) / 29.97)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "bytes"):
        with pytest.raises(UserError):
            load(path)
