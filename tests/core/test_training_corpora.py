# SPDX-License-Identifier: GPL-3.0-or-later
"""Corpora without phones are marked so; other voices keep the timing; tests' speakers are left alone."""

from dataclasses import replace

import numpy as np
import pytest

from core.arkit import EXPRESSION_NAMES
from core.lips import INDEX, LipMap
from core.training.data import prepare as corpora
from core.training.data.clips import UNKNOWN_KIND, read, write
from core.training.data.facegood import captured, to_head
from core.training.data.split import TEST_SPEAKERS, is_test
from core.training.data.untold import unlabelled
from core.training.data.variants import Manner, analyse, random_manner, speak, stretch, variants

RATE = 16000


def hum(seconds=1.2, pitch=140.0, formant=900.0, on=(0.3, 0.9)):
    """A buzz through one resonance, between two silences."""
    t = np.arange(int(seconds * RATE)) / RATE
    hz = pitch * np.arange(1, int(7000 / pitch))
    level = 1 / (1 + ((hz - formant) / 250) ** 2) + 0.01
    sound = (level[:, None] * np.sin(2 * np.pi * hz[:, None] * t)).sum(0)
    sound *= (t > on[0]) & (t < on[1])
    rng = np.random.default_rng(0)
    return (0.4 * sound / np.abs(sound).max() + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)


def clip(sound, name="c", speaker="a-b"):
    return unlabelled(name, speaker, sound)


@pytest.fixture
def world():
    return pytest.importorskip("pyworld", reason="pyworld is not installed")


def test_voices_without_labels_say_so():
    made = clip(hum())
    frames = len(made.samples) // 320 + 1
    assert made.mouth.shape == (frames, 42)
    assert not made.mouth.any()
    assert (made.kind == UNKNOWN_KIND).all()
    assert made.awake[:5].max() < 0.1 < 0.9 < made.awake[round(0.5 * 50) : 40].min()


def test_unknown_kinds_survive_the_file(tmp_path):
    write(tmp_path / "x.npz", [clip(hum())])
    assert (read(tmp_path / "x.npz")[0].kind == UNKNOWN_KIND).all()


def test_captured_curves_are_shifted_to_the_sound():
    frames = 60
    curves = np.zeros((frames, 3), np.float32)
    curves[:, 0] = np.arange(frames) / 30  # a channel that tells its own time
    curves[:, 1] = 1
    file = {"r": curves, "fps": np.array(30), "arkit_names": np.array(["jawOpen", "mouthPucker", "eyeBlinkLeft"]),
            "status": np.array(["valid", "Invalid", "valid"])}  # fmt: skip
    times = np.arange(50) / 50
    found = captured(file, "r", times)
    np.testing.assert_allclose(found[:, INDEX["jawOpen"]], times + 0.022, atol=1e-6)
    assert not found[:, INDEX["mouthPucker"]].any()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_captured_lips_have_the_usual_amplitude_whatever_the_scale(scale):
    lips = LipMap.from_head()
    t = np.arange(400) / 50
    curves = np.zeros((400, len(EXPRESSION_NAMES)))
    curves[:, INDEX["jawOpen"]] = scale * 0.15 * (1 - np.cos(2 * np.pi * 3 * t))
    awake = (t > 1).astype(float)
    gap = to_head(curves, awake, lips) @ lips.gap
    assert np.percentile(gap[awake > 0], 90) == pytest.approx(0.14, abs=0.015)
    assert gap[awake == 0].max() < 1e-6
    assert gap[awake > 0].min() < 0.005


def test_stretching_moves_a_peak():
    rows = np.exp(-0.5 * ((np.arange(513) - 100) / 5) ** 2)[None]
    for factor in (0.8, 1.0, 1.2):
        assert stretch(rows, factor).argmax() == pytest.approx(100 * factor, abs=1)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("manner", [Manner(1.5, 1.0), Manner(1.0, 1.2), Manner(0.7, 0.85)])
def test_pitch_and_throat_change_independently_and_timing_stays(manner):
    sound = hum()
    voice = analyse(sound)
    changed = speak(voice, manner, len(sound))
    assert changed.shape == sound.shape
    again = analyse(changed)
    both = (voice.pitch > 0) & (again.pitch > 0)
    assert both.sum() > 60
    assert np.median(again.pitch[both] / voice.pitch[both]) == pytest.approx(manner.pitch, rel=0.03)
    hz = np.linspace(0, RATE / 2, voice.envelope.shape[1])
    peak, new = (hz[v.envelope[both].mean(0).argmax()] for v in (voice, again))
    assert new / peak == pytest.approx(manner.throat, abs=0.1)
    level = [np.convolve(s.astype(float) ** 2, np.ones(400), "same") for s in (sound, changed)]
    starts = [np.argmax(v > 0.1 * v.max()) / RATE for v in level]
    assert starts[0] == pytest.approx(starts[1], abs=0.015)


@pytest.mark.usefixtures("world")
def test_a_whisper_has_no_pitch():
    sound = hum()
    voice = analyse(sound)
    assert (analyse(speak(voice, Manner(whisper=True), len(sound))).pitch > 0).mean() < 0.1


@pytest.mark.usefixtures("world")
def test_variants_share_the_mouth_and_come_again():
    origin = replace(clip(hum()), mouth=np.random.default_rng(0).random((61, 42)).astype(np.float32))
    first, second = (list(variants([origin], 3, seed=1)) for _ in "ab")
    assert [c.name for c in first] == ["c~0", "c~1", "c~2"]
    for a, b in zip(first, second):
        assert a.speaker == origin.speaker
        assert a.mouth is origin.mouth
        np.testing.assert_array_equal(a.samples, b.samples)
        assert len(a.samples) == len(origin.samples)
        assert np.abs(a.samples).max() <= 0.51
    assert np.abs(first[0].samples - first[1].samples).max() > 0.05


def test_manners_span_their_ranges():
    drawn = [random_manner(np.random.default_rng(i)) for i in range(400)]
    pitch, throat = np.array([m.pitch for m in drawn]), np.array([m.throat for m in drawn])
    assert pitch.min() < 0.65 < 1.65 < pitch.max()
    assert throat.min() < 0.84 < 1.19 < throat.max()
    assert abs(np.corrcoef(pitch, throat)[0, 1]) < 0.15
    assert 0.05 < np.mean([m.whisper for m in drawn]) < 0.2


@pytest.mark.usefixtures("world")
def test_a_cache_that_lacks_only_variants_gets_them_and_keeps_the_rest(tmp_path):
    known, tested = clip(hum(), "k"), clip(hum(), "t", TEST_SPEAKERS[0])
    assert is_test(tested)
    assert not is_test(known)
    assert is_test(replace(known, held_out=True))
    for corpus in corpora.CORPORA:
        if not corpus.endswith("_variants"):
            write(tmp_path / "prepared" / f"{corpus}.npz", [known, tested])
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "prepared").iterdir()}
    corpora.prepare(tmp_path / "nowhere", tmp_path, seed=0)
    for name, changed in before.items():
        assert (tmp_path / "prepared" / name).stat().st_mtime_ns == changed
    for corpus, count in corpora.VARIANTS.items():
        made = read(tmp_path / "prepared" / f"{corpus}_variants.npz")
        assert [c.name for c in made] == [f"k~{i}" for i in range(count)]


