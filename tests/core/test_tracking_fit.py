# SPDX-License-Identifier: GPL-3.0-or-later
"""Points made from the head itself, by known tracks and a known camera: the tracks come back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from core.arkit import ARKIT_NAMES, EXPRESSION_NAMES
from core.head.model import HeadModel, gaze_rotation, rotation_matrix
from core.measure import COLUMNS, measure
from core.tracking import mesh
from core.tracking.fit import POINTS, bounded_least_squares
from core.tracking.pose import similarity
from core.tracking.tracker import Person, to_tracks
from core.tracks import FaceTracks

FRAMES = 120
PIXELS = 1500.0
"""of a metre"""


def hump(first: int, last: int) -> np.ndarray:
    """(T,) 0, up to 1 and back between two frames."""
    at = np.clip((np.arange(FRAMES) - first) / (last - first), 0, 1)
    return np.sin(np.pi * at) ** 2


def performance() -> FaceTracks:
    """A second of rest, then one thing after another, over a head that turns all the while."""
    weights = np.zeros((FRAMES, len(EXPRESSION_NAMES)))
    for name, strength, first, last in (
        ("jawOpen", 0.5, 25, 45), ("jawOpen", 0.3, 75, 85), ("mouthPucker", 0.7, 40, 55),
        ("mouthSmileLeft", 0.7, 55, 80), ("mouthSmileRight", 0.7, 55, 80),
        ("browInnerUp", 0.8, 80, 100), ("browDownLeft", 0.8, 98, 118), ("browDownRight", 0.8, 98, 118),
    ):  # fmt: skip
        weights[:, EXPRESSION_NAMES.index(name)] += strength * hump(first, last)
    blink = np.repeat((hump(60, 66) + hump(90, 96))[:, None], 2, axis=1)
    gaze = np.zeros((FRAMES, 2, 2))
    gaze[:, :, 0] = 0.25 * (hump(20, 40) - hump(66, 88))[:, None]
    turn = np.zeros((FRAMES, 3))
    turn[:, 1] = 0.3 * np.sin(np.arange(FRAMES) / 15)
    turn[:, 0] = 0.1 * np.sin(np.arange(FRAMES) / 9)
    return FaceTracks(
        fps=Fraction(25), expression=weights, blink=blink, gaze=gaze, head_rotation=turn,
        head_translation=np.zeros((FRAMES, 3)), emotion=np.eye(1, 8).repeat(FRAMES, 0),
    )  # fmt: skip


def filmed(tracks: FaceTracks, identity: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What the mesh would see of the built-in head under these tracks."""
    head = HeadModel.load()
    still = head.deform(tracks.arkit_weights(), identity=identity)
    local = np.zeros((len(tracks), 478, 3))
    local[:, list(POINTS)] = still[:, [mesh.VERTICES[p] for p in POINTS]]
    for side, iris in enumerate(mesh.IRISES):
        ahead = gaze_rotation(tracks.gaze[:, side]) @ np.array([0, 0, 0.0105])
        local[:, iris] = head.eye_centers(identity)[side] + ahead
    local = local @ rotation_matrix(tracks.head_rotation).transpose(0, 2, 1)
    points = local * np.array([1, -1, -1]) * PIXELS + np.array([640, 360, 0])
    return {
        "points": points.astype(np.float32), "times": tracks.times(),
        "rate": np.array([25, 1]), "size": np.array([1280, 720]),
    }  # fmt: skip


@pytest.fixture(scope="module", params=[None, 1.0], ids=["the head", "another person"])
def pair(request: pytest.FixtureRequest) -> tuple[FaceTracks, FaceTracks]:
    """(what was played, what was tracked)"""
    played = performance()
    sigma = None
    if request.param:
        sigma = request.param * np.random.default_rng(3).standard_normal(10)
    return played, to_tracks(filmed(played, sigma))


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_the_lips_measure_as_they_were_played(pair: tuple[FaceTracks, FaceTracks]) -> None:
    played, tracked = (measure(t) for t in pair)
    gap, width, jaw = (COLUMNS.index(n) for n in ("lip_gap", "lip_width", "jaw_drop"))
    assert alike(played[:, gap], tracked[:, gap]) > 0.99
    assert np.std(tracked[:, gap]) == pytest.approx(np.std(played[:, gap]), rel=0.2)
    assert tracked[:20, gap].max() < 0.01
    assert alike(played[:, width], tracked[:, width]) > 0.97
    assert alike(played[:, jaw], tracked[:, jaw]) > 0.97


@pytest.mark.parametrize(
    "name", ["jawOpen", "mouthPucker", "mouthSmileLeft", "browInnerUp", "browDownRight"]
)
def test_a_coefficient_comes_back(pair: tuple[FaceTracks, FaceTracks], name: str) -> None:
    played, tracked = (t.expression[:, EXPRESSION_NAMES.index(name)] for t in pair)
    assert alike(played, tracked) > 0.9
    assert tracked.max() == pytest.approx(played.max(), abs=0.25)


def test_what_was_not_played_stays_low(pair: tuple[FaceTracks, FaceTracks]) -> None:
    played, tracked = pair
    silent = played.expression.max(0) == 0
    assert tracked.expression[:, silent].mean() < 0.03
    assert tracked.expression[:20].max() < 0.15


def test_blinks_and_gaze_come_back(pair: tuple[FaceTracks, FaceTracks]) -> None:
    played, tracked = pair
    assert alike(played.blink[:, 0], tracked.blink[:, 0]) > 0.95
    assert tracked.blink[[63, 93]].min() > 0.85
    open_eyed = played.blink[:, 0] < 0.3
    wrong = np.degrees(tracked.gaze - played.gaze)[open_eyed]
    assert np.abs(wrong[..., 0]).max() < 4
    assert np.abs(wrong[..., 1] - np.median(wrong[..., 1])).max() < 4


def test_the_head_turns_as_it_was_turned(pair: tuple[FaceTracks, FaceTracks]) -> None:
    played, tracked = (measure(t)[:, [COLUMNS.index(n) for n in ("yaw", "pitch")]] for t in pair)
    wrong = tracked - played
    assert np.abs(wrong - np.median(wrong, axis=0)).max() < 2.5


def test_a_persons_rest_may_be_learnt_from_another_film() -> None:
    played = performance()
    smile = EXPRESSION_NAMES.index("mouthSmileLeft")
    lasting = played.expression.copy()
    lasting[:, smile] = 0.6
    film = filmed(FaceTracks(**{**vars(played), "expression": lasting}))
    alone = to_tracks(film).expression[:20, smile].mean()
    known = to_tracks(film, person=Person.of([filmed(played)])).expression[:20, smile].mean()
    assert alone < 0.2
    assert known == pytest.approx(0.6, abs=0.2)


def test_lost_frames_are_marked_and_the_mouth_does_not_stay_open() -> None:
    film = filmed(performance())
    film["points"][33:60] = np.nan  # lost with the mouth at its widest
    tracks = to_tracks(film)
    seen = tracks.extra["tracked"]
    assert seen.dtype == bool
    assert list(np.flatnonzero(~seen)) == list(range(33, 60))
    jaw = tracks.expression[:, EXPRESSION_NAMES.index("jawOpen")]
    assert jaw[32] > 0.3
    assert jaw[42:50].max() == 0
    assert np.isfinite(tracks.head_rotation).all()


def test_the_mark_survives_the_file(tmp_path) -> None:
    film = filmed(performance())
    film["points"][:5] = np.nan
    to_tracks(film).save(tmp_path / "tracks.npz")
    seen = FaceTracks.load(tmp_path / "tracks.npz").extra["tracked"]
    assert seen.dtype == bool
    assert (~seen).sum() == 5


def test_another_frame_rate_shows_the_same_motion() -> None:
    played = performance()
    tracks = to_tracks(filmed(played), Fraction(60000, 1001))
    assert tracks.fps == Fraction(60000, 1001)
    jaw = EXPRESSION_NAMES.index("jawOpen")
    at_25 = np.interp(played.times(), tracks.times(), tracks.expression[:, jaw])
    assert alike(at_25, played.expression[:, jaw]) > 0.97


def test_the_bounded_least_squares_are_the_least() -> None:
    random = np.random.default_rng(0)
    a, d = random.standard_normal((60, 12)), random.standard_normal((5, 60)) * 3
    ridge, sparse = np.full(12, 0.7), 0.4
    found = bounded_least_squares(a, d, ridge, sparse)
    # The same as plain least squares: complete the square of the linear cost.
    whole = np.concatenate([a, np.diag(np.sqrt(ridge))])
    for row, target in zip(found, d):
        goal = np.concatenate([target, -sparse / np.sqrt(ridge)])
        best = lsq_linear(whole, goal, bounds=(0, 1), method="bvls")
        assert row == pytest.approx(best.x, abs=1e-4)
    assert ((found == 0) | (found == 1)).any()


def test_a_similarity_is_recovered_and_never_a_reflection() -> None:
    random = np.random.default_rng(1)
    source = random.standard_normal((20, 3))
    turn = gaze_rotation(np.array([0.4, -0.2])).astype(float)
    target = 3.5 * source @ turn.T + np.array([1.0, -2.0, 0.5])
    pose = similarity(source, target[None])
    assert pose.scale[0] == pytest.approx(3.5)
    assert np.allclose(pose.rotation[0], turn, atol=1e-6)
    assert np.allclose(pose.undo(target[None])[0], source, atol=1e-6)
    mirrored = similarity(source, (source * [-1, 1, 1])[None])
    assert np.linalg.det(mirrored.rotation[0]) == pytest.approx(1)


def test_the_mesh_lies_on_the_head_as_it_should() -> None:
    """A head built anew may number its vertices otherwise; the table has to follow."""
    head = HeadModel.load()
    place = {p: head.vertices[v] for p, v in mesh.VERTICES.items()}
    for point, name in ((1, "nose_tip"), (152, "chin"), (13, "lip_upper_inner"),
                        (14, "lip_lower_inner"), (33, "eye_outer_right"), (362, "eye_inner_left")):  # fmt: skip
        assert mesh.VERTICES[point] == head.landmark(name)
    for right, left in ((61, 291), (33, 263), (159, 386), (105, 334), (50, 280), (172, 397), (84, 314)):
        assert np.allclose(place[right] * [-1, 1, 1], place[left], atol=2e-3)
    upward = [152, 17, 14, 0, 2, 1, 4, 6, 168, 9, 151, 10]
    assert np.all(np.diff([place[p][1] for p in upward]) > -1e-6)
    jaw = head.shape_deltas[ARKIT_NAMES.index("jawOpen"), :, 1]
    for upper, lower in (mesh.INNER_LIPS, *mesh.GAPS):
        assert jaw[mesh.VERTICES[lower]] < 3 * jaw[mesh.VERTICES[upper]] < 0
