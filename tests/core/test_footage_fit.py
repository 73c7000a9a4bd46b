# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.arkit import ARKIT_NAMES
from core.footage.dataset import sight_of
from core.footage.follow import Motion, follow, parabola
from core.footage.likeness import Likeness, Sight, likeness, sealed, turned, turned_gaze
from core.footage.pieces import pieces_of
from core.footage.pose import HeadPose, jacobian, locate, project, unproject
from core.head.model import HeadModel
from core.raster import Camera
from core.tracking import mesh
from core.tracking.fit import POINTS
from tests.core.seen_faces import IDENTITY, scan, speaking

SIZE = 256


@pytest.fixture(scope="module")
def person() -> tuple[Sight, Likeness, Motion]:
    seen = scan(200)
    pieces, _ = pieces_of(seen, 0, SIZE, 60)
    sight = sight_of(pieces[0], seen, Camera(), SIZE)
    known = likeness(sight)
    return sight, known, follow(sight, known, 25)


def turns(motion: Motion) -> Rotation:
    return Rotation.from_matrix(motion.pose.rotation)


def posed(known: Likeness, motion: Motion) -> np.ndarray:
    return known.head.deform(
        motion.arkit, motion.gaze, motion.pose.axis_angle(), motion.pose.translation
    ).astype(np.float64)


def test_the_head_falls_on_the_picture(person: tuple[Sight, Likeness, Motion]) -> None:
    sight, known, motion = person
    made = project(sight.camera, SIZE, posed(known, motion)[:, list(mesh.VERTICES.values())])
    off = np.linalg.norm(made - sight.points[:, list(POINTS), :2], axis=-1)
    for part in (mesh.LIPS, mesh.BROWS, {p for side in mesh.LIDS for pair in side for p in pair}):
        mine = np.isin(POINTS, list(part))
        assert off[:, mine].mean() < 1.0
        assert np.percentile(off[:, mine], 95) < 2.0
    assert off.mean() < 1.0


def test_what_the_face_does_is_found(person: tuple[Sight, Likeness, Motion]) -> None:
    motion = person[2]
    truth = speaking(200)
    jaw, blink = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("eyeBlinkLeft")
    assert np.corrcoef(motion.arkit[:, jaw], truth.arkit[:, jaw])[0, 1] > 0.97
    assert motion.arkit[truth.arkit[:, blink] > 0.95, blink].min() > 0.8
    assert motion.arkit[truth.arkit[:, blink] == 0, blink].max() < 0.25
    turn = Rotation.from_rotvec(truth.rotation) * turns(motion).inv()
    mean = turn.mean()
    assert np.degrees((turn * mean.inv()).magnitude()).max() < 2.0


def test_lips_that_meet_are_closed(person: tuple[Sight, Likeness, Motion]) -> None:
    _, known, motion = person
    truth = speaking(200)
    upper, lower = (mesh.VERTICES[p] for p in mesh.INNER_LIPS)
    assert np.abs(known.head.vertices[upper] - known.head.vertices[lower]).max() < 1e-5
    face = known.head.deform(motion.arkit)
    gap = face[:, upper, 1] - face[:, lower, 1]
    jaw = truth.arkit[:, ARKIT_NAMES.index("jawOpen")]
    assert gap[jaw == 0].max() < 0.001
    assert gap[jaw > 0.4].min() > 0.004


def test_an_identity_does_not_part_the_lips() -> None:
    head = HeadModel.load()
    parted = head.deform(np.zeros((1, 52)), identity=IDENTITY)[0].astype(np.float64)
    closed = sealed(parted, head)
    upper, lower = (mesh.VERTICES[p] for p in mesh.INNER_LIPS)
    assert np.abs(closed[upper] - closed[lower]).max() == 0
    assert np.abs(closed - parted)[head.part("eye_left")].max() < 1e-4
    same = head.vertices.astype(np.float64)
    np.testing.assert_allclose(sealed(same, head), same, atol=1e-5)


def test_a_pose_is_found_from_its_projection() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(scale=0.05, size=(30, 3))
    turn = Rotation.from_rotvec(rng.normal(scale=0.2, size=(5, 3)))
    truth = HeadPose(turn.as_matrix(), rng.normal(scale=0.02, size=(5, 3)))
    pixels = project(Camera(), SIZE, truth.apply(points))
    start = HeadPose(np.tile(np.eye(3), (5, 1, 1)), np.zeros((5, 3)))
    found = locate(points, pixels, Camera(), SIZE, start, np.ones(30))
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-5)
    np.testing.assert_allclose(found.translation, truth.translation, atol=1e-5)


def test_projection_inverts_and_has_its_jacobian() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(scale=0.1, size=(4, 7, 3))
    pixels = project(Camera(), SIZE, points)
    np.testing.assert_allclose(unproject(Camera(), SIZE, pixels, points[..., 2]), points, atol=1e-12)
    step = 1e-6
    for axis in range(3):
        moved = points + step * np.eye(3)[axis]
        slope = (project(Camera(), SIZE, moved) - pixels) / step
        np.testing.assert_allclose(jacobian(Camera(), SIZE, points)[..., axis], slope, rtol=1e-3, atol=0.05)


def test_another_rest_shows_the_same_head(
    person: tuple[Sight, Likeness, Motion], tmp_path: Path
) -> None:
    _, known, motion = person
    rest = Rotation.from_rotvec([0.08, -0.1, 0.02])
    arrays = turned(known, rest.as_matrix())
    path = tmp_path / "proxy.npz"
    np.savez(path, **arrays)
    head = HeadModel.load(path)
    undone = (turns(motion) * rest.inv()).as_rotvec()
    gaze = turned_gaze(motion.gaze, rest.as_matrix())
    now = head.deform(motion.arkit, gaze, undone, motion.pose.translation)
    skull = known.head.head_weight == 1
    np.testing.assert_allclose(now[:, skull], posed(known, motion)[:, skull], atol=5e-4)


def test_a_parabola_stays_one() -> None:
    at = np.arange(30.0)
    values = np.column_stack([at**2, 3 - at])
    np.testing.assert_allclose(parabola(values, 25), values, atol=1e-9)
    np.testing.assert_array_equal(parabola(values[:3], 25), values[:3])
