# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of emotion, of its smoothness, and of what the two heads carry: known answers."""

from __future__ import annotations

import numpy as np
import pytest

from core.arkit import EMOTIONS
from core.evaluation.speech import classifier, decoupling, emotion, smoothness
from core.evaluation.speech.voices import Face
from core.lips import INDEX
from core.phones import KIND_NAMES
from core.training.emotion_faces import PROTOTYPES, vector

from .test_evaluation_speech import AA, M, spoken


def test_timing_is_the_median_over_clips():
    t = np.arange(100) / 50
    wave, other = np.sin(9 * t), np.cos(9 * t)
    assert emotion.timing([wave, 2 * wave + 1, other], [wave, wave, wave]) == pytest.approx(1)
    assert emotion.timing([other, -wave, other], [wave, wave, wave]) < 0.2


def test_kept_closures_are_those_that_were_shut_before():
    kind = [AA] * 90
    clip = spoken(kind, [(20, 24), (40, 44), (60, 64)])
    neutral, angry = np.full(90, 0.1), np.full(90, 0.1)
    neutral[[21, 41]] = 0
    angry[[21, 61]] = 0
    kept, recall = emotion.kept("x", "angry", [angry], [neutral], [clip])
    assert (kept.value, kept.note) == (0.5, "2 closures")
    assert recall.value == pytest.approx(2 / 3)


def test_every_action_unit_has_its_channels():
    for name in EMOTIONS[1:]:
        units = emotion.action_units(name)
        assert units.keys() == PROTOTYPES[name].keys()
        covered = {c for channels in units.values() for c in channels}
        assert covered == set(np.flatnonzero(vector(PROTOTYPES[name])))


def test_rising_names_the_lowest():
    level = emotion.LEVELS
    mean, lowest, whose = emotion.rising({"smile": level**2, "brow": -level, "cheek": level})
    assert (lowest, whose) == (pytest.approx(-1), "brow")
    assert mean == pytest.approx(1 / 3)


def test_between_counts_where_the_parts_differ():
    one, other = np.zeros((10, 2)), np.zeros((10, 2))
    other[:, 0] = 0.5
    middle = (one + other) / 2
    assert emotion.between(middle, one, other) == 1
    middle[:3, 0] = 0.7
    middle[:, 1] = 0.9  # the parts agree here, so nobody asks
    assert emotion.between(middle, one, other) == pytest.approx(0.7)
    assert np.isnan(emotion.between(middle, one, one))


def test_draws_agree_on_lips_and_differ_in_brows():
    gap = np.sin(np.arange(50) / 5)
    faces = []
    for seed in range(3):
        face = np.zeros((50, 42))
        face[:, [i for n, i in INDEX.items() if n.startswith(("brow", "cheekSquint"))]] = 0.1 * seed
        face[:, INDEX["jawOpen"]] = seed  # no brow: not asked for
        faces.append(Face(face, gap * (1 + seed), gap))
    agree, differ = emotion.agreement(faces)
    assert agree == pytest.approx([1, 1, 1])
    assert differ == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def line(shares, frames=4):
    """Features on a straight line from (0, 0) to (3, 4)."""
    return [np.tile(np.array([3.0, 4.0]) * s, (frames, 1)) for s in shares]


def test_a_straight_path_in_even_steps():
    found = smoothness.path(line(np.linspace(0, 1, 17)))
    assert found.length == pytest.approx(25 / 16)
    assert found.relative_length == pytest.approx(1 / 16)
    assert found.variance == pytest.approx(0)
    assert found.relative_variance == pytest.approx(0)


def test_a_jump_is_longer_and_uneven():
    found = smoothness.path(line([0.0] * 9 + [1.0] * 8))
    assert found.length == pytest.approx(25)
    assert found.relative_length == pytest.approx(1)
    assert found.relative_variance == pytest.approx(15 / 256)
    assert found.variance == pytest.approx(625 * 15 / 256)


def test_a_dead_face_has_no_short_way_over_the_whole_way():
    dead = smoothness.path(line(0.01 * np.linspace(0, 1, 17)))
    alive = smoothness.path(line(np.linspace(0, 1, 17)))
    assert dead.length < alive.length
    assert dead.relative_length == pytest.approx(alive.relative_length)


def test_a_detour_is_longer():
    shares = np.linspace(0, 1, 17)
    straight, bent = line(shares), line(shares)
    for k, face in enumerate(bent):
        face[:, 0] += 2 * np.sin(np.pi * k / 16)
    assert smoothness.path(bent).relative_length > smoothness.path(straight).relative_length


def separable(rng, count):
    label = rng.integers(3, size=count)
    return np.eye(3)[label] * 2 + rng.standard_normal((count, 3)), label


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_probe_finds_what_is_there_and_nothing_in_noise(hidden):
    rng = np.random.default_rng(0)
    (x, y), (x_new, y_new) = separable(rng, 900), separable(rng, 900)
    model = classifier.train(x, classifier.one_hot(y, 3), hidden)
    assert classifier.balanced_accuracy(model.classes(x_new), y_new) > 0.75
    noise = rng.standard_normal((900, 3))
    model = classifier.train(noise, classifier.one_hot(y, 3), hidden)
    assert abs(classifier.balanced_accuracy(model.classes(rng.standard_normal((900, 3))), y_new) - 1 / 3) < 0.06


def test_a_hidden_layer_finds_what_no_line_parts():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2000, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    right = [classifier.balanced_accuracy(classifier.train(x[:1000], classifier.one_hot(y[:1000], 2), h)
                                          .classes(x[1000:]), y[1000:]) for h in ((), (16,))]  # fmt: skip
    assert right[0] < 0.6
    assert right[1] > 0.8


def test_the_same_seed_trains_the_same_classifier():
    rng = np.random.default_rng(2)
    x, y = separable(rng, 200)
    one, two = (classifier.train(x, classifier.one_hot(y, 3), (8,)) for _ in range(2))
    np.testing.assert_array_equal(one.features(x), two.features(x))
    assert one.features(x).shape == (200, 8)


def test_balanced_accuracy_weighs_classes_alike():
    truth = np.array([0] * 90 + [1] * 10)
    assert classifier.balanced_accuracy(np.zeros(100, int), truth) == 0.5
    assert classifier.balanced_accuracy(truth, truth) == 1


def test_lips_are_averaged_about_each_step():
    lip = np.arange(20.0)[:, None]
    np.testing.assert_allclose(decoupling.averaged(lip, 4)[:, 0], [0.6, 5, 10, 15])


def test_common_classes_only():
    def examples(labels):
        count = len(labels)
        return decoupling.Examples({"lip": np.arange(count)[:, None]}, np.array(labels))

    seen, unseen, classes = decoupling.common(examples([3, 3, 7, 7, 9, 9]), examples([9, 9, 3, 3, 7, 5]), 2)
    assert classes == 2
    assert seen.label.tolist() == [0, 0, 1, 1]
    assert unseen.label.tolist() == [1, 1, 0, 0]
    assert unseen.features["lip"][:, 0].tolist() == [0, 1, 2, 3]


def test_a_head_is_probed_for_what_it_carries():
    rng = np.random.default_rng(3)
    label = rng.integers(4, size=800)

    def part(half):
        features = {"lip": np.eye(4)[label][half] + 0.1 * rng.standard_normal((400, 4)),
                    "expression": rng.standard_normal((400, 4))}  # fmt: skip
        return decoupling.Examples(features, label[half])

    seen, unseen = part(slice(0, 400)), part(slice(400, 800))
    assert min(decoupling.probe(seen, unseen, "lip", 4).values()) > 0.7
    assert max(decoupling.probe(seen, unseen, "expression", 4).values()) < 0.1


def test_silence_is_no_sound_to_probe_for():
    kinds = np.array([KIND_NAMES.index("SIL"), M, AA])
    steps = decoupling.Steps({"lip": np.zeros((3, 2))}, kinds)
    assert decoupling.sounds([steps, steps]).label.tolist() == [M, AA, M, AA]
