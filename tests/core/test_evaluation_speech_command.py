# SPDX-License-Identifier: GPL-3.0-or-later
"""``core evaluate speech`` on a small cache: every part, the users' own path, and what is missing."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from core import bench as speeds
from core.arkit import EMOTIONS
from core.audio import load
from core.errors import ExitCode, UserError
from core.evaluation import cost
from core.evaluation.speech import classifier, closures, command, emotion, film, smoothness, speed
from core.evaluation.speech.voices import Bench, Player, Split
from core.measure import COLUMNS, measure
from core.models.checkpoint import save_checkpoint
from core.models.expression import ExpressionModel, tiny_expression_model
from core.phones import KIND_NAMES, Phone
from core.pipeline import animate
from core.progress import silent
from core.protocol import AnimateParams
from core.training.data.grid import TrackedClip
from core.training.data.prepare import Clip, write

SPEAKERS = {
    "grid_s1": ("grid-s1", "grid-s1"), "grid_other": ("grid-x", "grid-y"),
    "emodb": ("emodb-03", "emodb-08"), "vctk": ("vctk-a", "vctk-b"),
    "librispeech": ("librispeech-1", "librispeech-2"),
    "synthesis": ("flite-slt", "flite-awb", "espeak-it+f5"),
}  # fmt: skip
"""the first of each is trained on, the others are not"""


def utterance(name, speaker, seed):
    """0.4 s of silence, then syllables of /m/ and /a/."""
    rng = np.random.default_rng(seed)
    frames = 71
    kind = np.full(frames, KIND_NAMES.index("SIL"), np.int8)
    kind[20:] = np.where(np.arange(51) % 10 < 4, KIND_NAMES.index("M"), KIND_NAMES.index("AA"))
    loud = np.repeat(kind[:-1] != 0, 320) * rng.uniform(0.1, 0.3)
    samples = loud * rng.standard_normal(len(loud))
    mouth = np.zeros((frames, 42), np.float32)
    return Clip(name, speaker, samples.astype(np.float32), mouth, kind, (kind != 0).astype(np.float32),
                kind == KIND_NAMES.index("M"), False)  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Folder of a cache, of weights and of their split."""
    home = tmp_path_factory.mktemp("evaluation")
    split = {"train": {}, "test": {}}
    letters = "WLEAFTN"
    for corpus, speakers in SPEAKERS.items():
        clips = []
        for who, speaker in enumerate(speakers):
            for take in range(35 if corpus == "emodb" else 5):
                name = f"{who:02}a01{letters[take % 7]}{take}"
                clips.append(utterance(name, speaker, take))
                split["test" if who else "train"].setdefault(speaker, []).append(name)
        write(home / "prepared" / f"{corpus}.npz", clips)
    model = tiny_expression_model()
    save_checkpoint(home / "expression.safetensors", model.network.state_dict(), model.config)
    (home / "expression-split.json").write_text(json.dumps(split))
    return home


def bench(home):
    model = ExpressionModel.load(home / "expression.safetensors")
    return Bench(Player(model), Split.load(home / "expression-split.json"), home, home, silent)


def arguments(home, *more):
    return ["--data", str(home), "--cache", str(home), "--weights", str(home / "expression.safetensors"), *more]


def test_the_table_has_every_part_asked_for(small, capsys, monkeypatch):
    for module in (emotion, smoothness):
        monkeypatch.setattr(module, "EMOTIONS", EMOTIONS[:3])
    monkeypatch.setattr(emotion, "_SEEDS", 3)
    monkeypatch.setattr(classifier, "_STEPS", 20)
    report = small / "report.json"
    only = [f"--only={p}" for p in ("closures", "silence", "emotion", "smoothness", "decoupling", "seeds", "network")]
    ablation = ["--ablation", str(small / "expression.safetensors")]
    assert command.main(arguments(small, *only, *ablation, "--json", str(report))) == 0
    printed = capsys.readouterr().out
    said = json.loads(report.read_text("utf-8"))
    figures = [f"{r['heading']} {r['figure']}" for r in said]
    for wanted in ("EmoDB, only the actors that the split holds out (08) closures: recall",
                   "synthesised voices never trained on (flite-awb) closures: recall",
                   "a synthesised language never trained on (espeak-it+f5) closures: recall",
                   "silence: lip motion", "contempt: timing", "contempt: closures kept",
                   "Spearman", "share between", "EPPL", "EPDV", "emotion from the lip head",
                   "phones from the expression head", "lips agree", "brows and cheeks"):  # fmt: skip
        assert any(wanted in f for f in figures), wanted
    assert all(r["figure"] in printed for r in said)
    assert not [r for r in said if r["value"] is None]
    eppl = next(r for r in said if r["figure"] == "EPPL")
    assert eppl["beside"] == {"ablation": pytest.approx(eppl["value"])}
    assert not eppl["met"]


def test_the_face_is_the_users(voice, small):
    """What the figures are of is what ``core animate`` makes and ``core measure`` sees."""
    face = Player(ExpressionModel.load()).play(load(voice), {"happy": 0.6}, seed=3)
    tracks = animate(AnimateParams(str(voice), "", fps=(50, 1), emotion={"happy": 0.6}, seed=3))
    seen = measure(tracks)
    frames = len(tracks)
    assert frames >= 100
    assert face.gap.max() > 0.02
    np.testing.assert_allclose(face.expression[:frames], tracks.expression, atol=1e-6)
    np.testing.assert_allclose(face.gap[:frames], seen[:, COLUMNS.index("lip_gap")], atol=1e-5)
    # A blink pulls at the corners too, by 2e-5.
    np.testing.assert_allclose(face.width[:frames], seen[:, COLUMNS.index("lip_width")], atol=1e-4)


def test_film_is_compared_clip_by_clip(small, monkeypatch):
    times = np.arange(30) / 25
    wave = 0.05 + 0.02 * np.sin(9 * times)

    def tracked(_cache, speaker, _lips):
        names = ["00a01W0", "01a01W0"] if speaker == "s1" else ["y"]
        said = [Phone("SIL", 0, 0.4), Phone("M", 0.4, 0.6), Phone("AA", 0.6, 1.4)]
        return [TrackedClip(n, times, wave, -wave, wave, said, np.ones(30), True) for n in names]

    def sound(_path):
        return utterance("x", "x", 0).samples

    monkeypatch.setattr(film, "tracked_clips", tracked)
    monkeypatch.setattr(film, "load", sound)
    split = Split({"grid-s1": frozenset(["00a01W0"])},
                  {"grid-s1": frozenset(["01a01W0"]), "grid-y": frozenset(["y"])})  # fmt: skip
    phones = small / "recognised" / "grid_other"
    phones.mkdir(parents=True)
    (phones / "y.json").write_text('[["SIL", 0, 0.4], ["M", 0.4, 0.6], ["AA", 0.6, 1.4]]')
    asked = bench(small)
    asked.split = split
    rows = {(r.heading.split(",")[0], r.figure): r for r in film.rows(asked)}
    assert rows["GRID s1", "r of the lip gap"].note == "1 clips"
    assert rows["GRID s1", "lag, interquartile range, ms"].beside == {"against the aligned text's lips": 0}
    assert rows["GRID", "y: r"].beside.keys() == {"envelope", "recogniser"}
    assert rows["GRID", "r, median, beside simpler means"].value == rows["GRID", "y: r"].value
    asked.split = replace(split, test={"grid-s1": frozenset(["01a01W0"])})
    with pytest.raises(UserError, match="keeps no film of 'other'"):
        film.rows(asked)


def test_each_actor_is_judged_by_a_model_that_never_heard_him(small, tmp_path):
    """The bench's own split keeps actor 08; two trainings keep 03, one of them has heard 08."""
    clips = bench(small).clips("emodb")
    names = {who: frozenset(c.name for c in clips if c.speaker == who) for who in ("emodb-03", "emodb-08")}
    asked = bench(small)
    asked.split = Split({"emodb-03": names["emodb-03"]}, {"emodb-08": names["emodb-08"]})
    with pytest.raises(UserError, match="never heard 'emodb-03'"):
        closures.emodb(asked, tmp_path)
    for folder, tested in (("a", "emodb-08"), ("b", "emodb-03")):
        (tmp_path / folder).mkdir()
        model = tiny_expression_model(seed=folder == "b")
        save_checkpoint(tmp_path / folder / "expression.safetensors", model.network.state_dict(), model.config)
        split = {"test": {tested: sorted(names[tested])},
                 "train": {w: sorted(n) for w, n in names.items() if w != tested}}  # fmt: skip
        (tmp_path / folder / "expression-split.json").write_text(json.dumps(split))
    found = closures.emodb(asked, tmp_path)
    assert found[0].note == "350 closures"  # five of each of 70 utterances
    judges = {"emodb-08": asked.player, "emodb-03": Player(ExpressionModel.load(tmp_path / "b/expression.safetensors"))}
    gaps = [(judges[c.speaker].play(c.samples).gap, c) for c in clips]
    wanted = closures.counted("x", gaps, None, None)
    assert [r.value for r in found] == [r.value for r in wanted]


@pytest.mark.parametrize(("text", "what"), [
    ('{"train": {"a": ["1"]}, "test": {"a": ["1"]}}', "trains and tests on '1' of 'a'"),
    ('{"train": {}}', "does not hold"), ("[]", "does not hold"), ("{", "does not hold"),
])  # fmt: skip
def test_a_split_that_means_nothing_is_refused(tmp_path, text, what):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(UserError, match=what):
        Split.load(tmp_path / "split.json")


def test_what_is_missing_is_named(small, tmp_path):
    with pytest.raises(UserError, match="core train expression") as caught:
        command.main(["--data", str(tmp_path), "--cache", str(tmp_path)])
    assert caught.value.code == ExitCode.BAD_INPUT
    (tmp_path / "prepared").mkdir()
    asked = bench(small)
    asked.cache = tmp_path
    with pytest.raises(UserError, match=r"emodb\.npz.*core train expression"):
        asked.clips("emodb")
    with pytest.raises(UserError, match="no tracked films"):
        film.rows(asked)
    with pytest.raises(UserError, match="no split"):
        Split.load(tmp_path / "split.json")


def test_a_command_is_weighed():
    hungry = "x = bytearray(200_000_000); x[::4096] = b'1' * len(x[::4096]); sum(range(3_000_000))"
    taken = cost.run([sys.executable, "-c", hungry])
    assert 200e6 < taken.memory < 400e6
    assert taken.processor > 0
    assert taken.wall > 0
    with pytest.raises(UserError, match="ended with 7 and said 'no'"):
        cost.run([sys.executable, "-c", "print('no'); raise SystemExit(7)"])


def test_the_start_is_taken_off_the_minute_but_not_off_the_hour(small, monkeypatch):
    """The commands are real, their costs are made up; the second of three runs is the best."""
    monkeypatch.setattr(speeds, "HOUR", 90)
    walls = iter([3.0, 2.0, 4.0, 3.8, 3.2, 9.0, 70.0])
    commands = []

    def run(command):
        commands.append(command)
        return cost.Cost(next(walls), 1.0, 1.5e9)

    monkeypatch.setattr(speeds, "run", run)
    start, minute, hour, memory = speed.rows(bench(small))
    assert start.value == 2
    assert minute.value == pytest.approx(0.02)
    assert (hour.value, memory.value) == (70, 1.5)
    assert hour.target.met(hour.value)
    assert commands[0][1:4] == ["-m", "core", "animate"]


def test_speech_is_repeated_to_the_length_asked_for(small):
    voice = speed.speech(bench(small), 20.0)
    assert len(voice) == 320000
    once = sum(len(c.samples) for c in bench(small).clips("librispeech"))
    np.testing.assert_array_equal(voice[:1000], voice[once : once + 1000])
