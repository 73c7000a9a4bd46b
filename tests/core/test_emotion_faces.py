# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion shows in the face, lives with the voice, and leaves the lips to speech."""

import numpy as np
import pytest

from core.arkit import EMOTIONS, EXPRESSION_NAMES
from core.bench import synthetic_voice
from core.lips import INDEX, LipMap
from core.training.emotion_faces import PROTOTYPES, added, perform, pitch_of, vector, voice_of

FRAMES = 300


@pytest.fixture(scope="module")
def lips():
    return LipMap.from_head()


@pytest.fixture(scope="module")
def speech(lips):
    """(T, 42): a jaw that opens and shuts, lips that close and round."""
    at = np.arange(FRAMES) / 50
    out = np.zeros((FRAMES, len(EXPRESSION_NAMES)))
    out[:, INDEX["jawOpen"]] = 0.05 + 0.3 * np.clip(np.sin(2 * np.pi * 2.3 * at), 0, 1)
    closed = np.abs((at * 2.3) % 1 - 0.75) < 0.18
    out[closed, INDEX["mouthClose"]] = 0.05 * lips.gap[INDEX["jawOpen"]] / -lips.gap[INDEX["mouthClose"]]
    out[:, INDEX["mouthPucker"]] = 0.5 * np.clip(np.sin(2 * np.pi * 0.7 * at), 0, 1)
    return out


@pytest.fixture(scope="module")
def voice():
    energy = 0.75 + 0.2 * np.sin(np.arange(FRAMES) / 9)
    return voice_of(energy, np.ones(FRAMES))


def weights(frames=FRAMES, **emotions):
    row = np.zeros(len(EMOTIONS))
    for name, value in emotions.items():
        row[EMOTIONS.index(name)] = value
    row[0] += 1 - row.sum()
    return np.tile(row, (frames, 1))


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_emotion_leaves_the_timing_and_the_closures_of_the_lips(emotion, speech, voice, lips):
    said = speech @ lips.gap
    for seed in range(3):
        face = perform(speech, weights(**{emotion: 1}), voice, lips, np.random.default_rng(seed))
        gap = face @ lips.gap
        assert np.corrcoef(gap, said)[0, 1] > 0.97
        assert gap[said < 0.002].max() < 0.006
        assert gap[said < 0.002].min() > -0.02  # nor pressed through each other


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_a_closed_mouth_stays_closed_in_silence(emotion, lips):
    still = np.zeros((FRAMES, len(EXPRESSION_NAMES)))
    voice = voice_of(np.zeros(FRAMES), np.zeros(FRAMES))
    face = perform(still, weights(**{emotion: 1}), voice, lips, np.random.default_rng(0))
    assert -0.02 < (face @ lips.gap).min() <= (face @ lips.gap).max() < 1e-4
    assert face.sum(1).min() > 0.5  # and the rest of the face shows what it feels


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_emotion_grows_with_its_weight(emotion, speech, voice, lips):
    asked = vector(PROTOTYPES[emotion])
    faces = np.stack([perform(speech, weights(**{emotion: w}), voice, lips) for w in np.linspace(0, 1, 11)])
    upper = [i for i in np.flatnonzero(asked) if EXPRESSION_NAMES[i].startswith(("brow", "eye", "cheek", "nose"))]
    strength = faces[:, :, upper].mean(1)
    assert (np.diff(strength.mean(1)) > 0).all()
    for name in ("mouthSmileRight", "mouthFrownLeft", "mouthStretchLeft"):
        if asked[INDEX[name]]:
            assert (np.diff(faces[:, :, INDEX[name]].mean(1)) > 0).all()


@pytest.mark.parametrize(("one", "other"), [("happy", "sad"), ("angry", "disgusted"), ("fear", "surprised")])
def test_mixtures_lie_between_their_parts(one, other, speech, voice, lips):
    ends = [added(weights(**{e: 1}), voice, speech, lips) for e in (one, other)]
    mixed = added(weights(**{one: 0.4, other: 0.6}), voice, speech, lips)
    free = np.array([not n.startswith("mouthClose") for n in EXPRESSION_NAMES])
    assert (mixed[:, free] >= np.minimum(*ends)[:, free] - 1e-9).all()
    assert (mixed[:, free] <= np.maximum(*ends)[:, free] + 1e-9).all()


def test_all_but_contempt_are_symmetric_by_default(speech, voice, lips):
    left = [INDEX[n] for n in EXPRESSION_NAMES if n.endswith("Left")]
    right = [INDEX[n.replace("Left", "Right")] for n in EXPRESSION_NAMES if n.endswith("Left")]
    for emotion in EMOTIONS:
        face = perform(speech, weights(**{emotion: 1}), voice, lips)
        crooked = np.abs(face[:, left] - face[:, right]).max()
        assert (crooked > 0.3) if emotion == "contempt" else (crooked < 1e-9)


def test_performances_differ_and_sides_only_a_little(speech, voice, lips):
    happy = weights(happy=1)
    faces = [perform(speech, happy, voice, lips, np.random.default_rng(s)) for s in range(20)]
    smiles = np.array([(f[:, INDEX["mouthSmileLeft"]].mean(), f[:, INDEX["mouthSmileRight"]].mean()) for f in faces])
    assert smiles.std(0).min() > 0.03
    assert 0.001 < np.abs(smiles[:, 0] - smiles[:, 1]).mean() < 0.08
    np.testing.assert_array_equal(faces[3], perform(speech, happy, voice, lips, np.random.default_rng(3)))


def test_a_smile_gives_way_to_rounding(speech, voice, lips):
    smile = perform(speech, weights(happy=1), voice, lips)[:, INDEX["mouthSmileLeft"]]
    rounded = speech[:, INDEX["mouthPucker"]]
    assert smile[rounded > 0.45].mean() < 0.8 * smile[rounded == 0].mean()


def test_emotion_follows_a_voice_that_is_loud_and_high(speech, lips):
    awake = np.ones(FRAMES)
    energy = np.where(np.arange(FRAMES) < FRAMES // 2, 0.6, 0.9)
    angry = weights(angry=1)
    browed = vector(PROTOTYPES["angry"]) * [n.startswith("eye") for n in EXPRESSION_NAMES] > 0

    def strength(voice):
        return perform(speech, angry, voice, lips)[:, browed].mean(1)

    louder = strength(voice_of(energy, awake))
    assert louder[220:280].mean() > 1.1 * louder[20:80].mean()
    pitch = np.where(np.arange(FRAMES) < FRAMES // 2, -0.3, 0.3)
    higher = strength(voice_of(np.full(FRAMES, 0.7), awake, pitch))
    assert higher[220:280].mean() > 1.05 * higher[20:80].mean()


def test_brows_beat_when_the_voice_rises(lips):
    pitch = np.zeros(FRAMES)
    pitch[140:155] = 0.5
    voice = voice_of(np.full(FRAMES, 0.8), np.ones(FRAMES), pitch)
    assert 138 < voice.stress.argmax() < 157
    brow = perform(np.zeros((FRAMES, 42)), weights(neutral=1), voice, lips)[:, INDEX["browInnerUp"]]
    assert brow[140:155].max() > 0.05 + brow[:100].max()


def test_pitch_is_heard_at_the_rate_of_the_face():
    samples = synthetic_voice(2.0)
    octaves = pitch_of(samples, 100)
    assert octaves.shape == (100,)
    assert np.abs(octaves).max() <= 1
    assert np.abs(pitch_of(np.zeros(16000, np.float32), 50)).max() == 0


def test_pitch_follows_a_gliding_tone():
    at = np.arange(32000) / 16000
    frequency = 120 * 2 ** np.clip(at - 0.5, 0, 1)
    phase = np.cumsum(frequency) / 16000
    tone = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 12)).astype(np.float32) * 0.2
    octaves = pitch_of(tone, 100)
    assert octaves[85:95].mean() - octaves[10:20].mean() == pytest.approx(1.0, abs=0.2)
