# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks: everything pinned and hashed, one build of torch for each device, no index named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from installer import lockfile
from installer.engine import LOCKS
from installer.places import BLENDERS, REQUIREMENTS

ALL = sorted(p for p in REQUIREMENTS.glob("*.txt") if not p.name.startswith("no-"))
CUDA_ONLY = re.compile(r"nvidia|cuda|triton|cu\d\d")


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.name)
def test_every_entry_is_pinned_and_hashed(path: Path) -> None:
    entries = lockfile.read(path)
    text = path.read_text(encoding="utf-8")
    starts = [line for line in text.splitlines() if line and not line[0].isspace()]
    assert len(entries) == len(starts) > 0
    assert sum(len(e.hashes) for e in entries) == text.count("--hash=sha256:")
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted", text)


def test_the_cpu_lock_holds_nothing_of_cuda() -> None:
    entries = lockfile.read(REQUIREMENTS / "cpu.txt")
    assert [e.name for e in entries if CUDA_ONLY.search(e.name + e.version)] == []
    linux, others = (e for e in entries if e.name == "torch")
    assert (linux.version, linux.marker) == ("2.13.0+cpu", "sys_platform == 'linux'")
    assert (others.version, others.marker) == ("2.13.0", "sys_platform != 'linux'")


def test_the_cpu_build_is_none_of_the_indexs_linux_builds() -> None:
    cpu = {
        h for e in lockfile.read(REQUIREMENTS / "cpu.txt") for h in e.hashes if "+cpu" in e.version
    }
    cuda = {
        h for e in lockfile.read(REQUIREMENTS / "cuda.txt") for h in e.hashes if e.name == "torch"
    }
    assert cpu
    assert not cpu & cuda


def test_the_cuda_lock_brings_the_cuda_libraries() -> None:
    names = {e.name for e in lockfile.read(REQUIREMENTS / "cuda.txt")}
    assert {"torch", "nvidia-cudnn-cu13", "triton"} <= names


def test_the_tracker_lock_holds_what_it_loads_and_no_more() -> None:
    entries = {e.name: e.version for e in lockfile.read(REQUIREMENTS / "tracker.txt")}
    assert entries["mediapipe"] == "0.10.21"
    assert entries["numpy"].startswith("1.")
    left_out = (REQUIREMENTS / "no-tracker.txt").read_text(encoding="utf-8").splitlines()
    assert not set(left_out) & set(entries)
    assert "opencv-python-headless" in entries


@pytest.mark.parametrize("name", LOCKS.values())
def test_the_engine_runs_openvino_and_reports_to_nobody(name: str) -> None:
    names = {e.name for e in lockfile.read(REQUIREMENTS / name)}
    assert "openvino" in names
    assert not [n for n in names if "telemetry" in n]


def test_every_device_and_blender_has_its_lock() -> None:
    locks = {REQUIREMENTS / name for name in LOCKS.values()} | {b.lock for b in BLENDERS.values()}
    assert locks < set(ALL)


def test_dev_adds_to_the_engine_and_repeats_nothing() -> None:
    engine = {e.name for e in lockfile.read(REQUIREMENTS / "cpu.txt")}
    dev = {e.name for e in lockfile.read(REQUIREMENTS / "dev.txt")}
    assert {"pytest", "ruff", "mypy"} <= dev
    assert not engine & dev


@pytest.mark.parametrize("line", ["numpy==1.26.4", "numpy>=1 --hash=sha256:" + "0" * 64])
def test_an_unpinned_or_unhashed_entry_is_refused(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="entry 1"):
        lockfile.read(lock)


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_bytes(b"a==1\n")
    first = lockfile.digest([lock])
    lock.write_bytes(b"a==1\r\n")
    assert lockfile.digest([lock]) == first
    lock.write_bytes(b"a==2\n")
    assert lockfile.digest([lock]) != first
