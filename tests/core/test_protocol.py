# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from core.errors import UserError
from core.protocol import AnimateParams, RenderParams, event, parse_line, parse_params, request


def test_a_request_survives_the_line() -> None:
    params = AnimateParams(voice="/tmp/ä b.wav", output="t.npz", fps=(30000, 1001))
    line = request(4, "animate", params)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    message = parse_line(line)
    assert message["id"] == 4
    assert parse_params(AnimateParams, message["params"]) == params


def test_an_event_survives_the_line() -> None:
    assert parse_line(event("progress", 3, done=1, total=2)) == {
        "event": "progress", "id": 3, "done": 1, "total": 2}  # fmt: skip


def test_a_path_that_is_no_unicode_survives_the_line() -> None:
    path = os.fsdecode(b"/tmp/v\xf6ice.wav")
    sent = request(1, "animate", AnimateParams(path, "t.npz")).encode().decode()
    assert parse_line(sent)["params"]["voice"] == path
    assert parse_line(event("error", 1, message=path).encode().decode())["message"] == path


@pytest.mark.parametrize("line", ["", "nonsense", "[1]", "{"])
def test_what_is_no_object_is_refused(line: str) -> None:
    with pytest.raises(UserError):
        parse_line(line)


@pytest.mark.parametrize(
    "params", [{"tracks": "a"}, {"tracks": "a", "avatar": "b", "output": "c", "x": 1}]
)
def test_missing_and_unknown_fields_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(UserError):
        parse_params(RenderParams, params)
