# SPDX-License-Identifier: GPL-3.0-or-later
"""Corpora without phones are marked so; other voices keep the timing; tests' speakers are left alone."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from core.arkit import EXPRESSION_NAMES
from core.lips import INDEX, LipMap
from core.training.data import prepare as corpora
from core.training.data.clips import UNKNOWN_KIND, read, write
from core.training.data.facegood import captured, to_head
from core.training.data.recognise import recognise_words
from core.training.data.split import TEST_SPEAKERS, is_test
from core.training.data.teacher import Teacher
from core.training.data.untold import certainty, only_sure, unlabelled
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


class Recogniser:
    """Hears words with probabilities, among silences and noise."""

    def __init__(self, *words):
        self.words = [SimpleNamespace(word=w, prob=p, start_frame=0, end_frame=1) for w, p in words]

    def start_utt(self):
        pass

    end_utt = start_utt

    def process_raw(self, _sound, full_utt):
        assert full_utt

    def seg(self):
        return self.words


class Aligner(Recogniser):
    """Gives every word two phones of a tenth of a second, and a silence before each."""

    def lookup_word(self, word):
        return None if word == "unknown" else word

    def set_align_text(self, text):
        self.text = text.split()

    def set_alignment(self):
        pass

    def get_alignment(self):
        words, at = [], 0
        for word in self.text:
            for label, phones in (("<sil>", ["SIL"]), (word, [word[0].upper(), "AA"])):
                made = Alignment(label)
                for name in phones:
                    made.append(SimpleNamespace(name=name, start=at, duration=10))
                    at += 10
                words.append(made)
        return words


class Alignment(list):
    def __init__(self, name):
        super().__init__()
        self.name = name


def test_recognised_phones_know_how_sure_their_words_are():
    heard = Recogniser(("<s>", 1.0), ("ma(2)", 0.5), ("[NOISE]", 0.2), ("pa", 1.0003), ("</s>", 1.0))
    rows = recognise_words(heard, Aligner(), b"")
    assert [(r[0], r[3]) for r in rows] == [
        ("SIL", 1.0), ("M", 0.5), ("AA", 0.5), ("SIL", 1.0), ("P", 1.0), ("AA", 1.0),
    ]  # fmt: skip
    assert rows[1][1:3] == (pytest.approx(0.1), pytest.approx(0.2))
    assert recognise_words(Recogniser(("<s>", 1.0)), Aligner(), b"") == []
    assert recognise_words(Recogniser(("unknown", 1.0)), Aligner(), b"") == []


def test_what_is_doubtful_is_unknown_and_shuts_no_lips():
    made = clip(hum())
    frames = len(made.kind)
    told = replace(made, kind=np.full(frames, 3, np.int8), closed=np.ones(frames, np.bool_))
    kept = only_sure(told, [(0.0, 0.4, 0.9), (0.4, 0.6, 0.1), (0.6, 1.3, 0.8)])
    doubtful = kept.kind == UNKNOWN_KIND
    assert np.flatnonzero(doubtful).tolist() == list(range(20, 30))
    assert (kept.closed == ~doubtful).all()
    sure = certainty(kept.kind)
    assert sure[doubtful].max() == 0
    assert sure[[0, 10, 40, -1]].min() > 0.99
    assert np.abs(np.diff(sure)).max() < 0.5
    assert not certainty(made.kind).any()


def test_readers_without_text_are_taught_what_is_heard_of_them(tmp_path):
    folder = tmp_path / "data/speech/librispeech"
    folder.mkdir(parents=True)
    for name in ("a-1-0000", "b-1-0000"):
        soundfile.write(folder / f"{name}.flac", hum(), RATE)
    (folder / "transcripts.tsv").write_text(
        "file\tspeaker\ttext\nb-1-0000.flac\tb\t\na-1-0000.flac\ta\t\nc.flac\tc\tknown\n"
    )
    heard = tmp_path / "cache/recognised/librispeech_untold"
    heard.mkdir(parents=True)
    (heard / "a-1-0000.json").write_text(
        '[["SIL", 0, 0.3, 1], ["M", 0.3, 0.4, 0.9], ["AA", 0.4, 0.7, 0.9], ["P", 0.7, 0.8, 0.1], ["SIL", 0.8, 1.2, 1]]'
    )
    (heard / "b-1-0000.json").write_text("[]")
    known, unknown = corpora.untold(tmp_path / "data", tmp_path / "cache", Teacher.fitted(), LipMap.from_head())
    assert [c.speaker for c in (known, unknown)] == ["librispeech_untold-a", "librispeech_untold-b"]
    assert (unknown.kind == UNKNOWN_KIND).all()
    assert known.closed[16:19].all()
    assert not known.closed[36:39].any()
    assert (known.kind[36:39] == UNKNOWN_KIND).all()
    gap = known.mouth @ LipMap.from_head().gap
    assert gap[17] < 0.005 < 0.03 < gap[26]


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


