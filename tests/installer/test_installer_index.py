# SPDX-License-Identifier: GPL-3.0-or-later
"""Where wheels are looked for, and which one is taken."""

from __future__ import annotations

import json
import ssl
import sys
from pathlib import Path

import pytest

from installer import pip_settings
from installer.index import Finder, trusting, without_password
from installer.lockfile import Pinned
from installer.pip_settings import DEFAULT_INDEX, Sources

from .conftest import FakeIndex, bundled_pip

TAGS = ["cp311-cp311-linux_x86_64", "cp311-abi3-linux_x86_64", "py3-none-any"]
DIGEST = "a" * 64
PINNED = Pinned("sing-song", "1.0+cpu", "", frozenset({DIGEST}))
PLAIN = "sing_song-1.0%2Bcpu-py3-none-any.whl"


def html(*names: str) -> tuple[str, str]:
    return "text/html", "".join(f'<a href="../files/{n}">{n}</a>' for n in names)


def test_an_html_index(index: FakeIndex) -> None:
    index.pages["/simple/sing-song/"] = html(
        PLAIN + f"#sha256={DIGEST}", "other-1.0-py3-none-any.whl"
    )
    found = Finder(Sources(indices=(f"{index.url}/simple",)), TAGS).find(PINNED)
    assert found is not None
    assert found.url == f"{index.url}/simple/files/{PLAIN}"
    assert found.filename == "sing_song-1.0+cpu-py3-none-any.whl"


def test_a_json_index(index: FakeIndex) -> None:
    file = {"filename": PLAIN, "url": f"../f/{PLAIN}", "hashes": {"sha256": DIGEST}}
    kind = "application/vnd.pypi.simple.v1+json"
    index.pages["/simple/sing-song/"] = (kind, json.dumps({"files": [file]}))
    found = Finder(Sources(indices=(f"{index.url}/simple",)), TAGS).find(PINNED)
    assert found is not None
    assert found.url == f"{index.url}/simple/f/{PLAIN}"


@pytest.mark.parametrize(
    "name",
    [
        "sing_song-1.0-py3-none-any.whl",
        "sing_song-1.0%2Bcu130-py3-none-any.whl",
        "sing_song-1.0%2Bcpu-cp312-cp312-linux_x86_64.whl",
        "sing_song-1.0%2Bcpu.tar.gz",
        PLAIN + "#sha256=" + "b" * 64,
    ],
    ids=["another build", "CUDA", "another Python", "source", "another hash"],
)
def test_what_is_not_taken(index: FakeIndex, name: str) -> None:
    index.pages["/sing-song/"] = html(name)
    assert Finder(Sources(indices=(index.url,)), TAGS).find(PINNED) is None


def test_the_best_tag_wins(index: FakeIndex) -> None:
    native = "sing_song-1.0%2Bcpu-cp311-cp311-manylinux1_x86_64.linux_x86_64.whl"
    index.pages["/sing-song/"] = html(PLAIN, native)
    found = Finder(Sources(indices=(index.url,)), TAGS).find(PINNED)
    assert found is not None
    assert found.rank == 0


def test_a_folder_of_wheels_comes_first_and_needs_no_network(
    index: FakeIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "wheels with späce"
    folder.mkdir()
    (folder / "sing_song-1.0+cpu-py3-none-any.whl").touch()
    sources = Sources(find_links=(str(folder), folder.as_uri()), indices=(index.url,))
    found = Finder(sources, TAGS, offline=True).find(PINNED)
    assert found is not None
    assert found.local
    assert index.asked == []


def test_a_folder_may_be_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "sing_song-1.0+cpu-py3-none-any.whl").touch()
    monkeypatch.chdir(tmp_path)
    found = Finder(Sources(find_links=("wheels",)), TAGS, offline=True).find(PINNED)
    assert found is not None
    assert found.url == (tmp_path / "wheels").as_uri() + "/sing_song-1.0%2Bcpu-py3-none-any.whl"


def test_a_mac_python_without_certificates_trusts_those_of_its_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundled_pip()
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(ssl, "create_default_context", lambda **options: empty)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert len(trusting(None).get_ca_certs()) > 50


def test_a_folder_of_certificates(tmp_path: Path) -> None:
    assert trusting(str(tmp_path)).get_ca_certs() == []


def test_a_folder_that_is_an_index(tmp_path: Path) -> None:
    page = tmp_path / "simple" / "sing-song"
    page.mkdir(parents=True)
    page.joinpath("index.html").write_text(f'<a href="../../files/{PLAIN}">x</a>', encoding="utf-8")
    sources = Sources(indices=((tmp_path / "simple").as_uri(),))
    found = Finder(sources, TAGS, offline=True).find(PINNED)
    assert found is not None
    assert found.url == (tmp_path / "files" / "x").as_uri()[:-1] + PLAIN


def test_offline_asks_nobody(index: FakeIndex) -> None:
    index.pages["/sing-song/"] = html(PLAIN)
    sources = Sources(find_links=(index.url,), indices=(index.url,))
    assert Finder(sources, TAGS, offline=True).find(PINNED) is None
    assert index.asked == []


def test_a_password_goes_into_a_header() -> None:
    address, headers = without_password("https://me:p%40ss@host/simple/x/")
    assert address == "https://host/simple/x/"
    assert headers == {"Authorization": "Basic bWU6cEBzcw=="}


def test_pips_files_and_variables_are_read(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://one/simple/\nextra-index-url =\n  https://two\n  https://three\n"
        "find_links = /of/the/file\n[install]\ncert = /cert.pem\n",
        encoding="utf-8",
    )
    sources = pip_settings.read({"PIP_CONFIG_FILE": str(file), "PIP_FIND_LINKS": "/a /b"})
    assert sources.indices == ("https://one/simple", "https://two", "https://three")
    assert sources.find_links == ("/a", "/b")
    assert sources.certificates == "/cert.pem"


def test_without_settings_pip_asks_the_public_index() -> None:
    assert pip_settings.read({"PIP_CONFIG_FILE": "/dev/null"}).indices == (DEFAULT_INDEX,)


def test_no_index_means_none() -> None:
    settings = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1"}
    assert pip_settings.read(settings).indices == ()
