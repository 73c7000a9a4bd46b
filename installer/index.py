# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the wheel of a locked package: in wheel folders, on pages of links, in package indices.

Follows the simple repository interface (PEP 503, its JSON form PEP 691) and wheel names (PEP 427).
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import IO

from .errors import BAD_INPUT, UserError
from .lockfile import Pinned, normalized
from .pip_settings import Sources

TIMEOUT = 30.0
"""Seconds without an answer after which a server counts as away."""
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.9"


@dataclass(frozen=True)
class Wheel:
    """A file that may be installed: where it is, and its SHA-256 where the page says it."""

    pinned: Pinned
    filename: str
    url: str
    rank: int
    """Place of its best tag in the interpreter's order; 0 is best."""

    @property
    def local(self) -> bool:
        """On this machine already."""
        return self.url.startswith("file:")


class Opener:
    """Opens addresses with the certificates, proxy and passwords that pip has been given."""

    def __init__(self, sources: Sources) -> None:
        secure = urllib.request.HTTPSHandler(context=trusting(sources.certificates))
        handlers: list[urllib.request.BaseHandler] = [secure]
        if sources.proxy:
            proxies = {"http": sources.proxy, "https": sources.proxy}
            handlers.append(urllib.request.ProxyHandler(proxies))
        self._opener = urllib.request.build_opener(*handlers)

    def open(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> IO[bytes]:
        """Open ``url`` for reading; the answer carries ``headers``."""
        address, login = without_password(url)
        both = {**login, **(headers or {})}
        request = urllib.request.Request(address, headers=both, method=method)
        answer: IO[bytes] = self._opener.open(request, timeout=TIMEOUT)
        return answer


def trusting(certificates: str | None) -> ssl.SSLContext:
    """Trust in a file or folder of certificates, or in the system's.

    python.org's Python for macOS comes without any, so there those of the pip that it carries serve.
    """
    folder = certificates is not None and Path(certificates).is_dir()
    try:
        context = ssl.create_default_context(
            cafile=None if folder else certificates, capath=certificates if folder else None
        )
    except OSError as error:
        raise UserError(
            f"The certificates {certificates} that pip is set to use cannot be read: {reason(error)}.",
            "Mend pip's setting 'cert'.",
            BAD_INPUT,
        ) from error
    if sys.platform == "darwin" and not certificates and not context.get_ca_certs():
        import ensurepip  # which Debian may lack

        for wheel in (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                carried = archive.read("pip/_vendor/certifi/cacert.pem")
            context.load_verify_locations(cadata=carried.decode("ascii", "ignore"))
    return context


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """Take ``user:password@`` out of an address and into a header."""
    parts = urllib.parse.urlsplit(url)
    if "@" not in parts.netloc:
        return url, {}
    user, host = parts.netloc.rsplit("@", 1)
    token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
    clean = urllib.parse.urlunsplit(parts._replace(netloc=host))
    return clean, {"Authorization": f"Basic {token}"}


class _Links(HTMLParser):
    """The targets of a page's anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href") if tag == "a" else None
        if target:
            self.found.append(target)


class Finder:
    """Looks for locked packages in all of pip's sources.

    Args:
        sources: where pip looks.
        tags: what the interpreter can use, best first.
        offline: touch nothing that is not on this machine.

    """

    def __init__(self, sources: Sources, tags: Sequence[str], offline: bool = False) -> None:
        self._sources = sources
        self._ranks = {tag: rank for rank, tag in enumerate(tags)}
        self._offline = offline
        self._opener = Opener(sources)

    def find(self, pinned: Pinned, extra_index: str | None = None) -> Wheel | None:
        """The best wheel for one entry; a local one before one to download."""
        found = [w for page in self._sources.find_links for w in self._on(page, pinned)]
        if not found:
            indices = [extra_index] if extra_index else self._sources.indices
            pages = [f"{index.rstrip('/')}/{pinned.name}/" for index in indices]
            found = [w for page in pages for w in self._on(page, pinned)]
        return min(found, key=lambda w: (not w.local, w.rank), default=None)

    def _on(self, page: str, pinned: Pinned) -> Iterator[Wheel]:
        for link in self._links(page):
            wheel = self._wheel(link, pinned)
            if wheel:
                yield wheel

    def _links(self, page: str) -> list[str]:
        """Absolute addresses of the files that a folder or a page names; none where there is none."""
        folder = _local_folder(page)
        if folder is not None:
            index = folder / "index.html"
            if index.is_file():
                base = folder.as_uri() + "/"
                return _html_links(index.read_text(encoding="utf-8"), base)
            return [f.as_uri() for f in sorted(folder.glob("*.whl"))] if folder.is_dir() else []
        if self._offline:
            return []
        try:
            with self._opener.open(page, {"Accept": _ACCEPT}) as answer:
                kind = getattr(answer, "headers", {}).get("Content-Type", "")
                text = answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            if error.code in {403, 404, 410}:
                return []
            raise
        return _json_links(text, page) if "json" in kind else _html_links(text, page)

    def _wheel(self, link: str, pinned: Pinned) -> Wheel | None:
        address, _, fragment = link.partition("#")
        filename = urllib.parse.unquote(address.rsplit("/", 1)[-1])
        rank = self._rank(filename, pinned)
        said = dict(urllib.parse.parse_qsl(fragment)).get("sha256")
        if rank is None or (said and said not in pinned.hashes):
            return None
        return Wheel(pinned, filename, address, rank)

    def _rank(self, filename: str, pinned: Pinned) -> int | None:
        parts = filename[:-4].split("-")
        if not filename.endswith(".whl") or len(parts) not in {5, 6}:
            return None
        if normalized(parts[0]) != pinned.name or parts[1] != pinned.version:
            return None
        pythons, abis, platforms = (p.split(".") for p in parts[-3:])
        tags = (f"{p}-{a}-{s}" for p in pythons for a in abis for s in platforms)
        return min((self._ranks[tag] for tag in tags if tag in self._ranks), default=None)


def _local_folder(page: str) -> Path | None:
    if page.startswith("file:"):
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(page).path))
    if "://" not in page:
        return Path(os.path.expandvars(page.rstrip("/"))).expanduser().absolute()
    return None


def _html_links(text: str, base: str) -> list[str]:
    parser = _Links()
    parser.feed(text)
    return [urllib.parse.urljoin(base, link) for link in parser.found]


def _json_links(text: str, base: str) -> list[str]:
    links = []
    for file in json.loads(text).get("files", []):
        digest = file.get("hashes", {}).get("sha256")
        address = urllib.parse.urljoin(base, file["url"])
        links.append(f"{address}#sha256={digest}" if digest else address)
    return links


def reason(error: BaseException) -> str:
    """Why an address could not be read, in a few words."""
    cause = getattr(error, "reason", None) or error
    return " ".join(str(cause).split())
