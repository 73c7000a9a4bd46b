# SPDX-License-Identifier: GPL-3.0-or-later
"""MEAD and CREMA-D as on users' disks, in tiny files of the same form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.arkit import EMOTIONS
from core.errors import UserError
from core.training.data import crema_d, mead
from core.training.data.films import faces, held_out


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"tiny")


@pytest.fixture
def mead_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "MEAD of two"
    for speaker in ("M003", "W009"):
        for emotion, levels in (("angry", (1, 3)), ("neutral", (1,))):
            for level in levels:
                touch(folder / speaker / f"audio/{emotion}/level_{level}/001.m4a")
                touch(folder / speaker / f"video/front/{emotion}/level_{level}/001.mp4")
                touch(folder / speaker / f"video/top/{emotion}/level_{level}/001.mp4")
    touch(folder / "M003/audio/happy/level_2/007.m4a")
    touch(folder / "M003/audio/happy/level_2/.DS_Store")
    touch(folder / "notes/audio/angry/level_1/001.m4a")
    return folder


@pytest.fixture
def crema_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "CREMA-D"
    for actor in range(1001, 1011):
        for code in ("DFA_ANG_XX", "IEO_HAP_LO", "TSI_NEU_XX"):
            touch(folder / f"AudioWAV/{actor}_{code}.wav")
            touch(folder / f"VideoFlash/{actor}_{code}.flv")
    (folder / "VideoFlash/1001_IEO_HAP_LO.flv").unlink()
    touch(folder / "AudioWAV/readme_first.wav")
    return folder


def test_mead(mead_folder: Path) -> None:
    found = {r.name: r for r in mead.records(mead_folder)}
    assert len(found) == 7
    angry = found["M003_angry_3_001"]
    assert angry.sound == mead_folder / "M003/audio/angry/level_3/001.m4a"
    assert angry.film == mead_folder / "M003/video/front/angry/level_3/001.mp4"
    assert (angry.speaker, angry.emotion, angry.intensity, angry.sentence) == ("mead-M003", "angry", 1, "001")
    assert found["M003_angry_1_001"].intensity == pytest.approx(1 / 3)
    assert found["M003_happy_2_007"].film is None
    assert found["W009_neutral_1_001"].weights()[0] == 1
    assert mead.records(mead_folder / "W009")[0].speaker == "mead-W009"
    assert {r.film.parts[-4] for r in mead.records(mead_folder, "top") if r.film} == {"top"}


def test_crema_d(crema_folder: Path) -> None:
    found = {r.name: r for r in crema_d.records(crema_folder)}
    assert len(found) == 30
    angry = found["1001_DFA_ANG_XX"]
    assert (angry.speaker, angry.emotion, angry.intensity) == ("crema-d-1001", "angry", None)
    assert angry.sentence == "Don't forget a jacket."
    assert angry.film == crema_folder / "VideoFlash/1001_DFA_ANG_XX.flv"
    happy = found["1001_IEO_HAP_LO"]
    assert happy.film is None
    weights = happy.weights()
    assert weights[EMOTIONS.index("happy")] == pytest.approx(1 / 3)
    assert weights.sum() == pytest.approx(1)


def test_no_speaker_is_on_both_sides(crema_folder: Path) -> None:
    records = crema_d.records(crema_folder)
    tested = held_out(records)
    assert tested == {"crema-d-1005", "crema-d-1010"}
    assert held_out(reversed(records)) == tested


@pytest.mark.parametrize("corpus", [mead, crema_d])
@pytest.mark.parametrize("make", [False, True], ids=["no folder", "another folder"])
def test_a_folder_of_another_kind_is_said(tmp_path: Path, corpus, make: bool) -> None:
    folder = tmp_path / "photos"
    if make:
        touch(folder / "AudioWAV/holiday.wav")
        touch(folder / "M003/video/front/angry/level_1/001.mp4")
    with pytest.raises(UserError, match=r"Expected .* found none of it") as told:
        corpus.records(folder)
    assert told.value.code == 3


def test_pointers_in_place_of_files_are_said(crema_folder: Path) -> None:
    for path in crema_folder.rglob("*.wav"):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(UserError, match="git lfs pull"):
        crema_d.records(crema_folder)


def test_tracked_films_come_back_as_faces_with_their_emotion(mead_folder: Path, tmp_path: Path) -> None:
    records = mead.records(mead_folder)
    still = np.random.default_rng(0).uniform(100, 300, (1, 478, 3)).astype(np.float32)
    for record in records:
        if record.speaker == "mead-M003" and record.film:
            points = np.repeat(still, 10, axis=0)
            if record.name == "M003_angry_1_001":
                points[:4] = np.nan
            target = tmp_path / "cache" / record.tracked
            target.parent.mkdir(parents=True, exist_ok=True)
            np.savez(target, points=points, times=np.arange(10) / 30,
                     rate=np.array([30, 1]), size=np.array([640, 480]))  # fmt: skip
    found = {r.name: t for r, t in faces(records, tmp_path / "cache")}
    assert set(found) == {"M003_angry_3_001", "M003_neutral_1_001"}
    angry = found["M003_angry_3_001"]
    assert (angry.fps, len(angry)) == (30, 10)
    assert np.array_equal(angry.emotion[0], np.eye(8)[EMOTIONS.index("angry")])
    target.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"cannot be read.*track again"):
        list(faces(records, tmp_path / "cache"))
