# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head fitted to other heads, whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.arkit import ARKIT_NAMES
from core.errors import UserError
from core.head import registration
from core.head.model import HeadModel
from core.head.registration import Face, Registration, pieces, register

UNIT = 12.0
PIVOT = np.array([0.02, -0.03, 0.01])
MAPPED = tuple(n for n in ARKIT_NAMES if n not in ("cheekPuff", "mouthRollUpper", "browInnerUp"))


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def shape(model: HeadModel) -> np.ndarray:
    """(V, 3) metres: the built-in head with an identity and a wider jaw than that can give."""
    identity = np.random.default_rng(0).normal(size=20)
    place = model.vertices + np.tensordot(identity, model.identity_deltas, 1)
    return place + np.clip(0.02 - place[:, 1:2], 0, 0.08) * place * (0.8, 0, 0) - PIVOT


@pytest.fixture(scope="module")
def face(model: HeadModel, shape: np.ndarray) -> Face:
    """Another mesh of that head: vertices in another order, another unit, half again as much motion."""
    order = np.random.default_rng(1).permutation(len(shape))
    place = np.argsort(order)
    offsets = {n: 1.5 * UNIT * model.shape_deltas[ARKIT_NAMES.index(n)][order].astype(float) for n in MAPPED}
    return Face(UNIT * shape[order], place[model.triangles.astype(int)], offsets)


@pytest.fixture(scope="module")
def made(face: Face, model: HeadModel) -> Registration:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "SAMPLE", 0.008)
        return register(face, model)


def test_the_heads_surface_lies_on_the_characters(made: Registration, model: HeadModel, shape: np.ndarray) -> None:
    apart = np.linalg.norm(made.arrays["vertices"] * made.scale / UNIT - shape, axis=1)
    front = (model.head_weight > 0.9) & (model.vertices[:, 2] > 0.03)
    skin = np.intersect1d(model.part("skin"), np.nonzero(front)[0])
    assert np.percentile(apart[skin], 95) < 0.002
    assert apart[model.landmark_indices].max() < 0.0025
    assert made.error < 0.002
    assert made.scale == pytest.approx(UNIT, rel=0.08)


def test_it_moves_as_the_character_does(made: Registration, model: HeadModel) -> None:
    deltas = made.arrays["shape_deltas"].astype(float) * made.scale / UNIT
    skin = model.part("skin")
    for name in MAPPED:
        index = ARKIT_NAMES.index(name)
        apart = np.linalg.norm(deltas[index] - 1.5 * model.shape_deltas[index], axis=1)
        assert np.percentile(apart[skin], 99) < 0.0006, name
    upper, lower = (model.landmark(f"lip_{n}_inner") for n in ("upper", "lower"))
    jaw = deltas[ARKIT_NAMES.index("jawOpen")]
    assert jaw[lower, 1] < jaw[upper, 1] - 0.02
    teeth = model.part("teeth_lower")
    want = 1.5 * model.shape_deltas[ARKIT_NAMES.index("jawOpen")][teeth]
    assert np.abs(jaw[teeth] - want).max() < 0.005


def test_what_the_character_cannot_do_its_stand_in_does_not(made: Registration) -> None:
    for name in set(ARKIT_NAMES) - set(MAPPED):
        assert not made.arrays["shape_deltas"][ARKIT_NAMES.index(name)].any()


def test_the_result_is_a_head_file(made: Registration, tmp_path: object) -> None:
    np.savez(f"{tmp_path}/proxy.npz", **made.arrays)
    read = HeadModel.load(f"{tmp_path}/proxy.npz")
    ball = read.vertices[read.part("eye_left")] - read.eye_center[0]
    assert np.allclose(np.linalg.norm(ball, axis=1), read.eye_radius, atol=1e-4)
    assert not read.identity_deltas.any()


@pytest.mark.parametrize(
    ("case", "said"), [("no blink", "eyeBlinkRight move nothing"), ("still jaw", "jawOpen move"),
                       ("upside down", "forward and up axes"), ("in pieces", "No connected part")]
)  # fmt: skip
def test_a_face_that_cannot_be_found(face: Face, model: HeadModel, case: str, said: str) -> None:
    offsets = dict(face.offsets)
    if case == "no blink":
        del offsets["eyeBlinkRight"]
    elif case == "still jaw":
        offsets["jawOpen"] = np.zeros_like(offsets["jawOpen"])
    bad = replace(face, offsets=offsets)
    if case == "upside down":
        bad = replace(face, vertices=-face.vertices)
    elif case == "in pieces":
        corners = face.triangles.ravel()
        bad = Face(face.vertices[corners], np.arange(len(corners)).reshape(-1, 3),
                   {n: o[corners] for n, o in offsets.items()})  # fmt: skip
    with pytest.raises(UserError, match=said) as error:
        register(bad, model)
    assert error.value.code == 3


def test_pieces_of_a_mesh() -> None:
    triangles = np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7]])
    label = pieces(triangles, 9)
    assert len(set(label[:5])) == 1
    assert len(set(label[5:8])) == 1
    assert len({label[0], label[5], label[8]}) == 3
