# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher's mouths close and open when they should; labels, clips and faces are read right."""

import numpy as np
import pytest
import soundfile

from core.arkit import EMOTIONS, EXPRESSION_NAMES
from core.lips import INDEX, LipMap
from core.phones import KIND_NAMES, KINDS, Phone, from_arpabet, from_ipa, from_sampa, spread
from core.training.augment import change_sound, change_speed, change_throat
from core.training.data.align import grid_text
from core.training.data.grid import held_out_names
from core.training.data.lips import compose
from core.training.data.prepare import Clip, emodb, emodb_phones, read, write
from core.training.data.sentences import SENTENCES
from core.training.data.synthesis import ESPEAK_VOICES, _phones_of_marks
from core.training.data.teacher import Teacher
from core.training.emotion_faces import PROTOTYPES, Voice, perform, random_weights, vector, voice_of
from tests.core.said import mouth, say


@pytest.fixture(scope="module")
def lips():
    return LipMap.from_head()


@pytest.fixture(scope="module")
def teacher():
    return Teacher.fitted()


def during(times, values, phone):
    return values[(times >= phone.start) & (times <= phone.end)]


def test_the_head_has_the_lips_that_the_map_needs(lips):
    assert 0.2 < lips.gap[INDEX["jawOpen"]] < 0.6
    assert lips.gap[INDEX["mouthClose"]] < -0.2
    assert lips.gap[INDEX["mouthLowerDownLeft"]] > 0.01
    assert lips.width[INDEX["mouthPucker"]] < 0 < lips.width[INDEX["mouthStretchLeft"]]


def test_composed_lips_open_as_asked(lips):
    rng = np.random.default_rng(0)
    gap, jaw = rng.uniform(0, 0.22, 200), rng.uniform(0, 0.4, 200)
    extras = {n: rng.uniform(0, 0.3, 200) * (n == "pucker")
              for n in ("pucker", "funnel", "roll", "upper_roll", "press", "shrug", "tongue")}  # fmt: skip
    found = compose(lips, gap, jaw, rng.uniform(-0.04, 0.04, 200), extras)
    np.testing.assert_allclose(found @ lips.gap, gap, atol=0.012)
    assert found.min() >= 0
    assert found.max() <= 1


def test_labels():
    assert from_arpabet("AY1") == ("AA", "IH")
    assert from_arpabet("NG") == ("K",)
    assert from_arpabet("??") == ()
    assert from_ipa("tʃ") == ("CH",)
    assert from_ipa("øː") == ("OE",)
    assert from_ipa("ɹ") == ("R",)
    assert from_ipa("r") == ("D",)  # a trill does not round the lips
    assert from_sampa("aI") == ("AA", "IH")
    assert spread(("AA", "IH"), 0.0, 1.0) == [Phone("AA", 0.0, 0.55), Phone("IH", 0.55, 1.0)]
    for label in ("P", "AA", "ZH", "OY", "DX"):
        assert all(k in KINDS for k in from_arpabet(label))
    assert {v[:2] for v in ESPEAK_VOICES} - {"en"} == set(SENTENCES)


def test_marks_of_espeak_become_phones_with_their_closures():
    marks = [("a", 0.0), ("p", 0.2), ("ʲ", 0.22), ("b", 0.4), ("ɯᵝ", 0.5), ("", 0.6)]
    assert [(p.kind, round(p.start, 3), round(p.end, 3)) for p in _phones_of_marks(marks, 0.9)] == [
        ("AA", 0.0, 0.155), ("P", 0.155, 0.4), ("B", 0.4, 0.5), ("IH", 0.5, 0.6), ("SIL", 0.6, 0.9),
    ]  # fmt: skip


def test_grid_names():
    assert grid_text("brbk7n") == "bin red by k seven now"
    assert held_out_names([f"{i:02}" for i in range(10)]) == {"04", "09"}


def test_a_voice_whose_labels_are_empty_is_left_out(tmp_path):
    for folder in ("audio", "phones"):
        (tmp_path / "emodb" / folder).mkdir(parents=True)
    for name, rows in (("03a01Fa", " 0.10 -1 a\n 0.40 -1 .\n"), ("03a01Wa", "")):
        soundfile.write(tmp_path / "emodb/audio" / f"{name}.flac", np.zeros(8000), 16000)
        (tmp_path / "emodb/phones" / f"{name}.lablaut").write_text("signal x\n#\n" + rows)
    assert [c.name for c in emodb(tmp_path, Teacher.fitted(), LipMap.from_head())] == ["03a01Fa"]


def test_hand_labels_merge_releases_and_stop_at_the_sound(tmp_path):
    path = tmp_path / "x.lablaut"
    path.write_text("signal x\n#\n 0.10 -1 p\n 0.18 -1 !p\n 0.20 -1 a 2\n 0.30 -1 \t-sth\n"
                    " 0.40 -1 m +na\n 2.50 -1 .\n")  # fmt: skip
    assert emodb_phones(path, 0.5) == [
        Phone("SIL", 0.0, 0.10), Phone("P", 0.10, 0.20), Phone("AA", 0.20, 0.40), Phone("M", 0.40, 0.5),
    ]  # fmt: skip


def clip(seconds=1.0, speaker="a-b", seed=0):
    rng = np.random.default_rng(seed)
    count, frames = int(seconds * 16000), int(seconds * 50) + 1
    return Clip(
        "n", speaker, rng.uniform(-0.5, 0.5, count).astype(np.float32),
        rng.uniform(0, 0.5, (frames, 42)).astype(np.float32),
        rng.integers(0, len(KIND_NAMES), frames).astype(np.int8),
        np.ones(frames, np.float32), rng.uniform(size=frames) > 0.8, False,
    )  # fmt: skip


def test_prepared_clips_come_back(tmp_path):
    clips = [clip(1.0), clip(0.73, "c-d", 1)]
    write(tmp_path / "p" / "x.npz", clips)
    for a, b in zip(clips, read(tmp_path / "p" / "x.npz")):
        assert (a.name, a.speaker, a.held_out) == (b.name, b.speaker, b.held_out)
        np.testing.assert_allclose(a.samples, b.samples, atol=1e-4)
        np.testing.assert_allclose(a.mouth, b.mouth, atol=1e-3)
        for name in ("kind", "awake", "closed"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_every_emotion_shows_in_its_own_way():
    faces = {e: vector(p) for e, p in PROTOTYPES.items()}
    assert tuple(faces) == EMOTIONS
    assert not faces["neutral"].any()
    for name in EMOTIONS[1:]:
        assert faces[name].sum() > 0.8
    for a in EMOTIONS:
        for b in EMOTIONS:
            if a != b:
                assert np.abs(faces[a] - faces[b]).max() > 0.25
    for shapes in PROTOTYPES.values():
        for shape in shapes:
            assert shape in EXPRESSION_NAMES or shape + "Left" in EXPRESSION_NAMES


@pytest.mark.parametrize("emotion", range(8))
def test_emotion_keeps_closures_and_range(teacher, lips, emotion):
    phones = say("AA", "M", "IY", "P", "AE")
    times, speech = mouth(teacher, lips, phones)
    voice = voice_of(0.9 * np.ones(len(times)), np.ones(len(times)))
    face = perform(speech, np.tile(np.eye(8)[emotion], (len(times), 1)), voice, lips,
                   np.random.default_rng(emotion))  # fmt: skip
    assert face.min() >= 0
    assert face.max() <= 1
    for stop in (phones[2], phones[4]):
        assert during(times, face @ lips.gap, stop).min() < 0.01
    upper = [i for i, n in enumerate(EXPRESSION_NAMES) if n.startswith(("brow", "cheek", "nose"))]
    if emotion:
        assert face[:, upper].mean() > 0.04


def test_brows_beat_on_stress():
    energy = np.full(200, 0.55)
    energy[90:105] = 1.0
    voice = voice_of(energy, np.ones(200))
    assert isinstance(voice, Voice)
    assert 85 < voice.stress.argmax() < 110
    assert voice.stress[:70].max() < 0.1


def test_random_weights_are_mixtures():
    rng = np.random.default_rng(0)
    drawn = np.stack([random_weights(60, rng) for _ in range(300)])
    np.testing.assert_allclose(drawn.sum(2), 1, atol=1e-9)
    assert drawn.min() >= 0
    assert (drawn[:, 0].max(1) < 0.95).any()
    assert (np.abs(drawn[:, 0] - drawn[:, -1]).max(1) > 0.2).any()


def test_augmentation_keeps_length_and_is_finite():
    sound = clip().samples
    for seed in range(30):
        changed = change_sound(sound, np.random.default_rng(seed))
        assert changed.shape == sound.shape
        assert np.isfinite(changed).all()
    assert len(change_speed(sound, 1.25)) == pytest.approx(len(sound) / 1.25, abs=2)
    warped = change_throat(np.random.default_rng(0).random((20, 65), np.float32), 1.1)
    assert warped.shape == (20, 65)
