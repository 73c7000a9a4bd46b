# SPDX-License-Identifier: GPL-3.0-or-later
"""Where pip has been told to look: its configuration files and PIP_* variables, read as pip does.

A machine behind a mirror, or with a folder of wheels, is thus set up with nothing said twice.
Precedence and places are those of pip's documentation (topics/configuration).
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_INDEX = "https://pypi.org/simple"


@dataclass(frozen=True)
class Sources:
    """Wheel folders (or pages of links) and indices, in the order they are asked."""

    find_links: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    certificates: str | None = None
    proxy: str | None = None


def read(environment: Mapping[str, str] | None = None) -> Sources:
    """Pip's own sources on this machine."""
    settings = dict(_from_files(os.environ if environment is None else environment))
    settings.update(_from_variables(os.environ if environment is None else environment))
    index = settings.get("index-url") or DEFAULT_INDEX
    indices = (
        () if _true(settings.get("no-index")) else (index, *_words(settings, "extra-index-url"))
    )
    return Sources(
        find_links=_words(settings, "find-links"),
        indices=tuple(url.rstrip("/") for url in indices),
        certificates=settings.get("cert"),
        proxy=settings.get("proxy"),
    )


def _words(settings: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(settings.get(key, "").split())


def _true(value: str | None) -> bool:
    return (value or "").lower() in {"1", "true", "yes", "on"}


def _from_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            yield name[4:].lower().replace("_", "-"), value


def _from_files(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Settings of the configuration files; later ones win, as does a command's own section."""
    for path in _files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself says what is wrong with it
        for section in ("global", "install", "download"):
            if parser.has_section(section):
                for key, value in parser.items(section):
                    yield key.lower().replace("_", "-"), value


def _files(environment: Mapping[str, str]) -> list[Path]:
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    user = Path.home()
    if sys.platform == "win32":
        roaming = Path(environment.get("APPDATA") or user)
        files = [
            Path(environment.get("PROGRAMDATA") or "C:/ProgramData") / "pip" / "pip.ini",
            user / "pip" / "pip.ini",
            roaming / "pip" / "pip.ini",
            Path(sys.prefix) / "pip.ini",
        ]
    else:
        shared = [Path(d) / "pip" / "pip.conf" for d in _config_folders(environment)]
        personal = Path(environment.get("XDG_CONFIG_HOME") or user / ".config") / "pip" / "pip.conf"
        support = user / "Library" / "Application Support" / "pip"
        if sys.platform == "darwin" and support.is_dir():
            personal = support / "pip.conf"
        files = [
            *shared,
            Path("/etc/pip.conf"),
            user / ".pip" / "pip.conf",
            personal,
            Path(sys.prefix) / "pip.conf",
        ]
    return [*files, Path(chosen)] if chosen else files


def _config_folders(environment: Mapping[str, str]) -> list[str]:
    if sys.platform == "darwin":
        return ["/Library/Application Support"]
    return (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
