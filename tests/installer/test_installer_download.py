# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads that break, go on, and are checked."""

from __future__ import annotations

import errno
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from installer import download
from installer.errors import UserError
from installer.index import Opener, Wheel
from installer.lockfile import Pinned
from installer.pip_settings import Sources
from installer.progress import Progress

from .conftest import FakeIndex, sha

BODY = bytes(range(256)) * 4096
NAME = "voice-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)


def wheel(index: FakeIndex, digest: str | None = None) -> Wheel:
    index.files[f"/{NAME}"] = BODY
    pinned = Pinned("voice", "1.0", "", frozenset({digest or sha(BODY)}))
    return Wheel(pinned, NAME, f"{index.url}/{NAME}", 0)


def fetch(one: Wheel, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return download.fetch(one, folder, Opener(Sources()), Progress("test", 1))


def test_a_broken_download_goes_on_where_it_broke(index: FakeIndex, tmp_path: Path) -> None:
    index.cut_after = [300_000, 200_000]
    got = fetch(wheel(index), tmp_path)
    assert got.read_bytes() == BODY
    assert [span for _, _, span in index.asked] == [None, "bytes=300000-", "bytes=500000-"]
    assert os.listdir(tmp_path) == [NAME]


def test_a_killed_set_up_goes_on_with_its_part(index: FakeIndex, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(BODY[:777])
    assert fetch(wheel(index), tmp_path).read_bytes() == BODY
    assert [span for _, _, span in index.asked] == ["bytes=777-"]


def test_a_complete_part_is_not_fetched_again(index: FakeIndex, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(BODY)
    assert fetch(wheel(index), tmp_path).read_bytes() == BODY


def test_a_server_without_ranges_is_read_from_the_start(index: FakeIndex, tmp_path: Path) -> None:
    index.ranges = False
    (tmp_path / f"{NAME}.part").write_bytes(BODY[:777])
    assert fetch(wheel(index), tmp_path).read_bytes() == BODY


def test_a_spoilt_part_is_thrown_away(index: FakeIndex, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"not the beginning of it")
    assert fetch(wheel(index), tmp_path).read_bytes() == BODY


def test_what_is_there_is_not_asked_for(index: FakeIndex, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(BODY)
    fetch(wheel(index), tmp_path)
    assert index.asked == []


def test_another_file_than_the_locks_is_refused(index: FakeIndex, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SHA-256 differs") as told:
        fetch(wheel(index, "0" * 64), tmp_path)
    assert told.value.code == 4
    assert "\n" not in str(told.value)
    assert os.listdir(tmp_path) == []


def test_a_server_that_keeps_breaking_leaves_the_part(index: FakeIndex, tmp_path: Path) -> None:
    index.cut_after = [1000] * download.ATTEMPTS
    with pytest.raises(UserError, match="broke off") as told:
        fetch(wheel(index), tmp_path)
    assert told.value.code == 4
    assert (tmp_path / f"{NAME}.part").read_bytes() == BODY[: 1000 * download.ATTEMPTS]


@pytest.mark.parametrize("error", [ssl.SSLError("bad record"), TimeoutError("timed out")], ids=repr)
def test_a_line_that_fails_while_reading_is_tried_again(
    error: OSError, index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, plain = [error], download._go_on

    def fails_once(*words: Any) -> None:
        if errors:
            raise errors.pop()
        plain(*words)

    monkeypatch.setattr(download, "_go_on", fails_once)
    assert fetch(wheel(index), tmp_path).read_bytes() == BODY


def test_a_server_that_is_away_is_said_in_one_line(tmp_path: Path) -> None:
    pinned = Pinned("voice", "1.0", "", frozenset({sha(BODY)}))
    gone = Wheel(pinned, NAME, f"http://127.0.0.1:9/{NAME}", 0)
    with pytest.raises(UserError, match="broke off") as told:
        download.fetch_all([gone], tmp_path, Opener(Sources()))
    assert "--wheels" in str(told.value)


def test_a_full_disk_is_said_in_one_line(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(download, "_go_on", full)
    with pytest.raises(UserError, match="disk is full") as told:
        download.fetch_all([wheel(index)], tmp_path, Opener(Sources()))
    assert told.value.code == 5


def test_several_at_once(index: FakeIndex, tmp_path: Path) -> None:
    wheels = []
    for number in range(20):
        body = bytes([number]) * 1000
        name = f"p{number}-1.0-py3-none-any.whl"
        index.files[f"/{name}"] = body
        pinned = Pinned(f"p{number}", "1.0", "", frozenset({sha(body)}))
        wheels.append(Wheel(pinned, name, f"{index.url}/{name}", 0))
    paths = download.fetch_all(wheels, tmp_path / "new folder", Opener(Sources()))
    assert [p.read_bytes()[:1] for p in paths] == [bytes([n]) for n in range(20)]
