# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index that breaks on demand, and small wheels to serve from it."""

from __future__ import annotations

import ensurepip
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class FakeIndex:
    """Files to serve, ways to fail, and what was asked of it."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, tuple[str, str]] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    """how many bytes each next answer to a GET gives before the connection drops"""
    ranges: bool = True
    stalled: threading.Event | None = None
    """an answer to a GET of a file that says nothing more until this is set"""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header)"""


def handler(index: FakeIndex) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *words: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            span = self.headers.get("Range")
            index.asked.append((self.command, self.path, span))
            if self.path in index.pages:
                kind, text = index.pages[self.path]
                self.reply(200, text.encode(), kind)
            elif self.path in index.files:
                body = index.files[self.path]
                start = int(span.split("=")[1].rstrip("-")) if span and index.ranges else 0
                if start and start >= len(body):
                    self.reply(416, b"", "text/plain")
                else:
                    self.reply(206 if start else 200, body[start:], "application/zip")
            else:
                self.reply(404, b"", "text/plain")

        def reply(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                if index.stalled and kind.endswith("zip"):
                    index.stalled.wait()
                cut = index.cut_after.pop(0) if index.cut_after and kind.endswith("zip") else None
                self.wfile.write(body if cut is None else body[:cut])

    return Handler


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    fake = FakeIndex()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(fake))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a home of its own, with a space and a letter beyond ASCII, and no pip settings."""
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path / "höme of tests"))
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CERT", "PROXY"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def make_wheel(folder: Path, name: str, version: str = "1.0", tag: str = "py3-none-any") -> Path:
    """A wheel with one module that holds its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{member},,\n" for member in members) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**members, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def bundled_pip() -> Path:
    """The pip that this Python carries for its own environments."""
    wheels = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not wheels:
        pytest.skip("this Python carries no pip wheel (Debian's own)")
    return wheels[0]


def sha(data: bytes | Path) -> str:
    return hashlib.sha256(data if isinstance(data, bytes) else data.read_bytes()).hexdigest()
