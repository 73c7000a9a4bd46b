# SPDX-License-Identifier: GPL-3.0-or-later
"""A voice in pieces gives what the whole gives, soon and in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from core.bench import synthetic_voice
from core.features import log_mel, speech_level
from core.models.expression import ExpressionModel, coefficient_count, tiny_expression_model
from core.models.mixture import SmoothNoise
from core.models.streaming import LEAST_LEVEL, ExpressionStream, joined
from core.mouth import Dials
from core.prosody import periodicity, prosody
from tests.core.sounds import babble, breath, laugh, silence

HOP = 320


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    """Random, but it hears speech in whatever is loud, so that the gate opens and shuts."""
    model = tiny_expression_model()
    model.network.encoder.lips.activity.bias.data += 3
    return model


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Speech, a breath, speech, laughter, silence."""
    parts = [silence(0.4), babble(4, 110, 1), silence(0.5), breath(), silence(0.3), babble(5, 220, 2),
             laugh(), silence(2), babble(3, 150, 3), silence(0.7)]  # fmt: skip
    return np.concatenate(parts)


def pieces(sound: np.ndarray, seed: int) -> list[np.ndarray]:
    """Of any length, empty ones too."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(sound), 40))
    return [*np.split(sound, cuts), sound[:0]]


@pytest.mark.parametrize("chunk", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("dials", [Dials(), Dials(1.3, 0.6, 0.06)], ids=["plain", "dials"])
def test_a_stream_gives_what_the_whole_gives(
    model: ExpressionModel, sound: np.ndarray, chunk: float, dials: Dials
) -> None:
    count = coefficient_count(len(sound))
    weights = np.random.default_rng(0).dirichlet(np.ones(8), count).astype(np.float32)
    whole = model.predict(sound, weights, seed=3, dials=dials, chunk_seconds=100)
    stream = ExpressionStream(
        model, level=speech_level(sound), emotion=lambda a, b: weights[a:b], seed=3, dials=dials,
        chunk_seconds=chunk,
    )  # fmt: skip
    found = joined([*(stream.feed(p) for p in pieces(sound, 1)), stream.finish()])
    for name in ("expression", "speech", "activity"):
        a, b = getattr(whole, name), getattr(found, name)
        assert a.shape == b.shape
        assert np.abs(a - b).max() < 1e-4
    assert whole.activity.max() == 1
    assert whole.speech.max() > 0.02


def test_frames_come_when_the_look_ahead_is_there(model: ExpressionModel, sound: np.ndarray) -> None:
    stream = ExpressionStream(model, level=-20.0, chunk_seconds=0.2)
    given = 0
    for end in range(1600, len(sound), 1600):
        given += len(stream.feed(sound[end - 1600 : end]))
        assert end / 16000 - given / 50 <= stream.look_ahead + 0.2 + 0.1
    assert given > 0


def test_an_empty_stream_gives_what_an_empty_voice_gives(model: ExpressionModel) -> None:
    stream = ExpressionStream(model)
    assert len(stream.feed(silence(0))) == 0
    assert len(stream.finish()) == len(model.predict(silence(0))) == 1


def test_the_level_is_that_of_the_first_seconds(model: ExpressionModel) -> None:
    loud, quiet = babble(6), 1e-4 * babble(6)
    for sound, level in ((loud, speech_level(loud[:80000])), (quiet, LEAST_LEVEL)):
        stream = ExpressionStream(model)
        assert len(stream.feed(sound[:70000])) == 0
        assert stream.level is None
        stream.feed(sound[70000:])
        assert stream.level == level


def test_memory_does_not_grow_with_the_sound(model: ExpressionModel) -> None:
    stream = ExpressionStream(model, chunk_seconds=10)
    minute, kept, given = synthetic_voice(60.0), [], 0
    for _ in range(8):
        given += len(stream.feed(minute))
        kept.append((sum(map(len, stream._pieces)), len(stream._raw.activity), len(stream._noise._white)))
    assert max(kept[4:]) <= max(kept[:4])
    assert kept[-1][0] < 60 * 16000
    assert given + len(stream.finish()) == coefficient_count(8 * len(minute))


def test_noise_goes_on_where_it_stopped() -> None:
    whole = SmoothNoise(3, 7, 8.0).steps(0, 200)
    source = SmoothNoise(3, 7, 8.0)
    for first, last in ((0, 30), (20, 90), (90, 91), (91, 200)):
        np.testing.assert_allclose(source.steps(first, last), whole[first:last], atol=1e-6)


def test_features_and_periodicity_of_a_part(sound: np.ndarray) -> None:
    whole, part = log_mel(sound, -20.0), log_mel(sound, -20.0, 321, 517)
    np.testing.assert_allclose(part, whole[321:517], atol=1e-5)
    every, some = periodicity(sound, HOP, 0, 300)[0], periodicity(sound, HOP, 101, 207)[0]
    np.testing.assert_allclose(some, every[101:207], atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_number_is_silence(value: float) -> None:
    sound = babble(2)
    broken = sound.copy()
    broken[3000:3200] = value
    assert np.isfinite(log_mel(broken)).all()
    assert np.isfinite(prosody(broken)).all()
    assert speech_level(broken) == pytest.approx(speech_level(sound), abs=1)
