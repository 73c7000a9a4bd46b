# SPDX-License-Identifier: GPL-3.0-or-later
"""From films to an avatar, with a stand-in for the tracker's process, which needs no mediapipe."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from core.avatars import load
from core.cli import main
from core.errors import Cancelled, UserError
from core.evaluation.head import evaluate
from core.files import read_npz
from core.footage.avatar import BEST, CURVE, Keeper, make_avatar
from core.footage.dataset import Request, prepare
from core.models.head import TINY
from core.training.head import HeadTraining
from tests.core.seen_faces import scan

SIZE = 32
PLAN = HeadTraining(steps=6, batch=2, save_every=2, warm_up=1)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a #! line")

STAND_IN = """#!{python}
import json, os, shutil, sys
import numpy as np
from PIL import Image
folder, module, plan = os.path.dirname(__file__), sys.argv[2], json.load(open(sys.argv[3]))
open(os.path.join(folder, "calls"), "a").write(module.split(".")[-1] + "\\n")
if module.endswith("scan"):
    for video, place in plan:
        shutil.copy(os.path.join(folder, open(video).read().strip() + ".npz"), place)
else:
    size = plan["size"]
    for film in plan["films"]:
        for picture, number, x, y, width in film["pictures"]:
            shade = np.full((size, size, 3), 90 + picture % 60, np.uint8)
            Image.fromarray(shade).save("%s/%06d.png" % (plan["frames"], number))
            Image.fromarray(shade[..., 0]).save("%s/%06d.png" % (plan["masks"], number))
print(json.dumps(dict(done=1, total=1)))
"""


def stand_in(base: Path) -> Path:
    """A data folder whose tracker is the stand-in: a film's text names what is seen in it."""
    python = base / "tracker/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (base / "tracker.json").write_text("{}", encoding="utf-8")
    np.savez(python.parent / "talk.npz", **scan(260))
    nobody = scan(100)
    nobody["points"][:] = np.nan
    np.savez(python.parent / "nobody.npz", **nobody)
    return base


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = stand_in(tmp_path / "home")
    monkeypatch.setenv("GMTALKER_HOME", str(base))
    return base


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Request:
    films = (film(tmp_path_factory.mktemp("films"), "talk"),)
    return Request(films, "me", SIZE, 12, "I agree.", "LicenseRef-Consent", "Nobody")


@pytest.fixture(scope="module")
def fitted(asked: Request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with the set, for fitting it takes seconds."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GMTALKER_HOME", str(stand_in(folder / "home")))
        prepare(asked, folder / "work")
    return folder / "work"


@pytest.fixture
def work(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "work"))


def film(folder: Path, what: str) -> Path:
    path = folder / f"{what}.mp4"
    path.write_text(what, encoding="utf-8")
    return path


def calls(home: Path) -> list[str]:
    return (home / "tracker/bin/calls").read_text().split()


def test_a_set_is_made_once(home: Path, asked: Request, work: Path) -> None:
    done = prepare(asked, work)
    data = done.data
    assert not (home / "tracker/bin/calls").exists()
    assert str(done.findings[0]).startswith("260 of 260 pictures used")
    training, held = data.split()
    assert 10 <= len(training) <= 12
    assert len(held) == 47  # two of eleven pieces
    assert data.info.films == (str(asked.films[0]),)
    assert (data.info.consent, data.info.credits) == ("I agree.", "Nobody")
    rows = data.params
    np.testing.assert_array_equal(rows["picture"], np.arange(260))
    np.testing.assert_allclose(rows["time"], np.arange(260) / 25, atol=1e-5)
    assert np.abs(np.median(rows["head_translation"], axis=0)).max() < 1e-6
    assert np.abs(rows["head_rotation"].mean(0)).max() < 0.01
    assert set(rows["emotion"][:, 0]) == {1}
    assert data.masks(held[:2]).shape == (2, SIZE, SIZE)
    before = {p.name: p.read_bytes() for p in data.folder.glob("*.*")}
    (data.folder / "frames" / f"{held[0]:06d}.png").unlink()
    again = prepare(asked, work)
    assert calls(home) == ["cut"]
    assert again.data.numbers == data.numbers
    for path in data.folder.glob("*.*"):
        path.unlink()
    prepare(asked, work)
    assert {p.name: p.read_bytes() for p in data.folder.glob("*.*")} == before


def test_a_damaged_scan_is_made_again(home: Path, asked: Request, work: Path) -> None:
    before = prepare(asked, work).data
    place = next((work / "scans").iterdir())
    good = place.read_bytes()
    for content in (b"", b"no archive", good[: len(good) // 2]):
        place.write_bytes(content)
        assert prepare(asked, work).data.folder == before.folder
    assert calls(home) == ["scan"] * 3
    assert sorted(read_npz(place)) == sorted(scan(1))


def test_more_frames_are_another_set(home: Path, asked: Request, work: Path) -> None:
    few = prepare(asked, work).data
    more = prepare(replace(asked, frames=30), work).data
    assert more.folder != few.folder
    assert 12 < len(more.split()[0]) <= 30
    assert more.split()[1] == few.split()[1]
    assert prepare(asked, work).data.numbers == few.numbers
    assert "scan" not in calls(home)


def test_an_avatar_is_made_and_goes_on(
    home: Path, asked: Request, fitted: Path, work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out/me"

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("training", 5):
            raise Cancelled

    with pytest.raises(Cancelled):
        make_avatar(asked, out, work, PLAN, config=TINY, progress=stop)
    early = load(out)  # usable, of the best so far
    assert early.card.consent == "I agree."
    made = make_avatar(asked, out, work, PLAN, config=TINY)
    assert [point[0] for point in made.curve] == [2, 4, 6]
    assert not made.skipped
    card = (out / "card.md").read_text()
    assert card.startswith("# me")
    assert f"| {made.psnr:.3f} |" in card
    assert made.psnr == evaluate(load(out), made.prepared.data)[0].psnr
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.height > 2 * SIZE
    elsewhere = Path(shutil.copytree(fitted, tmp_path / "elsewhere"))
    whole = make_avatar(asked, tmp_path / "out/other", elsewhere, PLAN, config=TINY)
    assert whole.avatar.key == made.avatar.key
    again = make_avatar(asked, out, work, PLAN, config=TINY)
    assert again.skipped
    assert again.psnr == made.psnr
    assert not make_avatar(asked, out, work, PLAN, config=TINY, overwrite=True).skipped
    assert load(out).key == made.avatar.key


@pytest.mark.parametrize("skipped", [False, True])
def test_the_figure_of_what_is_written_is_told(
    skipped: bool, asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = ((2, 0.5, 28.0), (4, 0.4, 27.0))
    made = SimpleNamespace(curve=curve, psnr=31.24, skipped=skipped)
    monkeypatch.setattr("core.footage.avatar.make_avatar", lambda *_, **__: made)
    consent = tmp_path / "consent.txt"
    consent.write_text("I agree.")
    words = ["avatar", "from-video", str(asked.films[0]), "-o", str(tmp_path / "me"), "--steps", "6"]
    assert main([*words, "--consent", str(consent)]) == 0
    told = capsys.readouterr().out
    assert "2 of 6 batches, held-out frames at 31.2 dB" in told
    assert ("already" in told) == skipped


def test_the_clock_ends_the_training(asked: Request, work: Path, tmp_path: Path) -> None:
    made = make_avatar(asked, tmp_path / "me", work, PLAN, minutes=1e-6, config=TINY)
    assert 1 <= made.curve[-1][0] < PLAN.steps
    assert load(tmp_path / "me").key == made.avatar.key
    done = make_avatar(asked, tmp_path / "me", work, PLAN, config=TINY)
    assert done.curve[-1][0] == PLAN.steps
    assert not done.skipped


def test_the_best_is_kept(asked: Request, work: Path, tmp_path: Path) -> None:
    from core.models.head import HeadNetwork

    prepared = prepare(asked, work)
    data = prepared.data
    config = replace(TINY, looks=data.looks)
    good, bad = HeadNetwork(config).eval(), HeadNetwork(config).eval()
    for value, network in ((-0.05, good), (0.4, bad)):
        network.unet.colour.bias.data.fill_(value)
    keeper = Keeper(data, prepared.looks, config, tmp_path)
    keeper.judge(good, 2, 0.5)
    best = (tmp_path / BEST).read_bytes()
    keeper.judge(bad, 4, 0.4)
    assert (tmp_path / BEST).read_bytes() == best
    (_, _, high), (_, _, low) = json.loads((tmp_path / CURVE).read_text())
    assert high > low + 3
    keeper.judge(good, 2, 0.5)  # a run that goes on from batch 2
    assert [point[0] for point in keeper.curve] == [2]


def test_without_consent_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["avatar", "from-video", str(film(tmp_path, "talk")), "-o", str(tmp_path / "me")]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--consent FILE" in told
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n")
    assert main([*words, "--consent", str(empty)]) == 2
    assert main([*words, "--consent", str(tmp_path / "none.txt")]) == 3
    assert not (tmp_path / "me").exists()


@pytest.mark.parametrize("name", ["Zo\u00eb", "_me", "m" * 65, ""])
def test_a_name_that_no_avatar_can_have_is_told_at_once(
    name: str, home: Path, asked: Request, work: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no name for an avatar"):
        make_avatar(replace(asked, name=name), tmp_path / "out", work, PLAN, config=TINY)
    assert not (home / "tracker/bin/calls").exists()


def test_a_place_where_no_avatar_can_be_is_told_at_once(
    home: Path, asked: Request, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="no folder"):
        make_avatar(asked, tmp_path / "file", work, PLAN, config=TINY)
    with pytest.raises(UserError, match="Cannot make"):
        make_avatar(asked, tmp_path / "out", tmp_path / "file" / "work", PLAN, config=TINY)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (home / "tracker/bin/calls").exists()


def test_a_film_of_nobody(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    consent = tmp_path / "consent.txt"
    consent.write_text("I agree.")
    words = ["avatar", "from-video", str(film(tmp_path, "nobody")), "-o", str(tmp_path / "me")]
    assert main([*words, "--consent", str(consent)]) == 3
    told = capsys.readouterr().err.splitlines()
    assert "got 0.0 s in" in told[-1]
    assert "100 pictures without a face" in told[-1]


def test_no_such_film(home: Path, tmp_path: Path) -> None:
    gone = Request((tmp_path / "gone.mp4",), "me", SIZE, 12, "I agree.")
    with pytest.raises(UserError, match="There is no file"):
        prepare(gone, tmp_path / "work")
