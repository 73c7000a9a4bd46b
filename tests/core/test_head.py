# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head as it ships: its mesh, its shapes, and how it deforms."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.arkit import ARKIT_NAMES
from core.errors import ExitCode, UserError
from core.head.model import HEAD_FILE, HeadModel, gaze_rotation, rotation_matrix

SIDES = ("left", "right")


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def pose(head: HeadModel, **weights: float) -> np.ndarray:
    row = np.zeros((1, len(ARKIT_NAMES)), dtype=np.float32)
    for name, value in weights.items():
        row[0, ARKIT_NAMES.index(name)] = value
    return head.deform(row)[0]


def edge_faces(head: HeadModel, parts: tuple[str, ...]) -> Counter[tuple[int, int]]:
    """How many faces run along each directed edge of some parts."""
    wanted = [head.part_names.index(p) for p in parts]
    count: Counter[tuple[int, int]] = Counter()
    for face in head.faces[np.isin(head.vertex_part[head.faces[:, 0]], wanted)]:
        corners = [int(v) for v in face if v >= 0]
        count.update(zip(corners, corners[1:] + corners[:1], strict=True))
    return count


def test_size_and_quads(head: HeadModel) -> None:
    assert HEAD_FILE.stat().st_size <= 3_000_000
    assert 3000 <= len(head.vertices) <= 6000
    assert (head.faces[:, 3] >= 0).mean() > 0.95
    used = np.unique(head.faces[head.faces >= 0])
    assert len(used) == len(head.vertices)


def test_parts_and_materials(head: HeadModel) -> None:
    assert set(head.part_names) >= {
        "skin", "mouth", "gums", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right", "lash",
    }  # fmt: skip
    for name in head.part_names:
        assert len(head.part(name)) > 0, name
    assert set(np.unique(head.face_material)) == set(range(len(head.material_names)))


def test_surface_is_manifold(head: HeadModel) -> None:
    """No edge is used twice in one direction; skin and mouth are open only at neck and eyes."""
    assert max(edge_faces(head, head.part_names).values()) == 1
    edges = edge_faces(head, ("skin", "mouth"))
    rim = [(a, b) for a, b in edges if (b, a) not in edges]
    follow = dict(rim)
    assert len(follow) == len(rim)
    loops = 0
    while follow:
        start, here = follow.popitem()
        while here != start:
            here = follow.pop(here)
        loops += 1
    assert loops == 3


@pytest.mark.parametrize("part", ["eye_left", "eye_right", "teeth_upper", "teeth_lower"])
def test_closed_parts(head: HeadModel, part: str) -> None:
    edges = edge_faces(head, (part,))
    assert all((b, a) in edges for a, b in edges)


@pytest.mark.parametrize("part", ["eye_left", "eye_right", "teeth_upper", "teeth_lower"])
def test_closed_parts_face_outwards(head: HeadModel, part: str) -> None:
    mine = np.isin(head.triangles[:, 0], head.part(part))
    a, b, c = (head.vertices[head.triangles[mine, k]].astype(np.float64) for k in range(3))
    assert (a * np.cross(b, c)).sum() / 6 > 1e-7


def test_skin_faces_outwards(head: HeadModel) -> None:
    normals = head.normals(head.vertices)
    assert normals[head.landmark("nose_tip"), 2] > 0.5
    assert normals[head.landmark("chin"), 2] > 0.3
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)


def test_uv_of_the_skin_does_not_overlap(head: HeadModel) -> None:
    assert head.uv.min() >= 0
    assert head.uv.max() <= 1
    mine = np.isin(head.triangles[:, 0], np.concatenate([head.part("skin"), head.part("mouth")]))
    a, b, c = (head.uv[head.triangles_uv[mine, k]].astype(np.float64) for k in range(3))
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (area > 0).mean() > 0.995
    assert area.sum() < 1.0


def test_eyes_are_spheres_with_radial_uv(head: HeadModel) -> None:
    for side, name in enumerate(("eye_left", "eye_right")):
        off = head.vertices[head.part(name)] - head.eye_center[side]
        np.testing.assert_allclose(np.linalg.norm(off, axis=1), head.eye_radius, rtol=1e-4)
        faces = np.isin(head.faces[:, 0], head.part(name)) & (head.faces[:, 3] >= 0)
        corner, place = head.faces_uv[faces].ravel(), head.faces[faces].ravel()
        polar = 2 * np.pi * np.linalg.norm(head.uv[corner] - 0.5, axis=1)
        depth = (head.vertices[place] - head.eye_center[side])[:, 2] / head.eye_radius
        np.testing.assert_allclose(np.cos(polar), depth, atol=1e-3)


def test_names_and_shapes(head: HeadModel) -> None:
    assert head.shape_names == ARKIT_NAMES
    size = np.abs(head.shape_deltas).max(axis=(1, 2))
    for name, largest in zip(ARKIT_NAMES, size, strict=True):
        assert 0.0005 < largest < 0.06, name


def test_shapes_mirror_each_other(head: HeadModel) -> None:
    skin = head.part("skin")
    rest = head.vertices[skin]
    flip = np.array([-1, 1, 1], dtype=np.float32)
    far = np.linalg.norm(rest[:, None] * flip - rest[None], axis=2)
    other = far.argmin(1)
    assert far.min(1).max() < 2e-4
    # Vertices that touch another one (lips) have no unique partner in space.
    alone = np.sort(far, axis=1)[:, 1] > 5e-4
    assert alone.mean() > 0.9
    for name in ARKIT_NAMES:
        twin = name
        if "Left" in name:
            twin = name.replace("Left", "Right")
        elif "Right" in name:
            twin = name.replace("Right", "Left")
        mine = head.shape_deltas[ARKIT_NAMES.index(name)][skin]
        theirs = head.shape_deltas[ARKIT_NAMES.index(twin)][skin]
        worst = np.abs(mine - theirs[other] * flip)[alone].max()
        assert worst < 4e-4, name


def test_left_is_the_characters_left(head: HeadModel) -> None:
    for name in ("eyeBlinkLeft", "mouthSmileLeft", "browDownLeft", "cheekSquintLeft"):
        moved = np.abs(head.shape_deltas[ARKIT_NAMES.index(name)]).sum(1)
        assert (moved * head.vertices[:, 0]).sum() > 0, name
    assert head.shape_deltas[ARKIT_NAMES.index("jawLeft")][head.part("teeth_lower"), 0].mean() > 0
    assert head.eye_center[0, 0] > 0 > head.eye_center[1, 0]


def lip_gap(head: HeadModel, points: np.ndarray) -> float:
    a, b = head.landmark("lip_upper_inner"), head.landmark("lip_lower_inner")
    return float(points[a, 1] - points[b, 1])


def test_lips_touch_at_rest_and_when_closed_over_an_open_jaw(head: HeadModel) -> None:
    assert abs(lip_gap(head, head.vertices)) < 1e-4
    assert abs(lip_gap(head, pose(head, jawOpen=1, mouthClose=1))) < 3e-4
    assert abs(lip_gap(head, pose(head, jawOpen=0.5, mouthClose=0.5))) < 3e-4
    assert lip_gap(head, pose(head, jawOpen=1)) > 0.02


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_lids_close(head: HeadModel, side: str) -> None:
    high, low = (
        head.landmark(f"lid_upper_{side.lower()}"),
        head.landmark(f"lid_lower_{side.lower()}"),
    )
    assert head.vertices[high, 1] - head.vertices[low, 1] > 0.006
    shut = pose(head, **{f"eyeBlink{side}": 1})
    assert np.linalg.norm(shut[high] - shut[low]) < 5e-4


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_eyes_stay_behind_the_lids(head: HeadModel, weight: float) -> None:
    """The edge of the lid never runs inside the eyeball on its straight way down."""
    points = pose(head, eyeBlinkLeft=weight, eyeBlinkRight=weight)
    for index, side in enumerate(SIDES):
        for lid in ("lid_upper", "lid_lower"):
            off = points[head.landmark(f"{lid}_{side}")] - head.eye_center[index]
            assert np.linalg.norm(off) > head.eye_radius - 1e-4


def test_eye_look_moves_no_eyeball(head: HeadModel) -> None:
    eyes = np.concatenate([head.part("eye_left"), head.part("eye_right")])
    assert not head.shape_deltas[:, eyes].any()


def test_lower_teeth_follow_the_jaw_and_upper_ones_stay(head: HeadModel) -> None:
    row = head.shape_deltas[ARKIT_NAMES.index("jawOpen")]
    lower, upper = head.part("teeth_lower"), head.part("teeth_upper")
    assert np.abs(row[upper]).max() < 1e-4
    assert row[lower, 1].max() < -0.005
    # The hinge is the fixed point of their turn: distances to it do not change.
    hinge = head.jaw_hinge.mean(0)
    before = np.linalg.norm((head.vertices[lower] - hinge)[:, 1:], axis=1)
    after = np.linalg.norm((head.vertices[lower] + row[lower] - hinge)[:, 1:], axis=1)
    np.testing.assert_allclose(after, before, rtol=0.03)


def test_tongue_comes_out(head: HeadModel) -> None:
    tongue = head.part("tongue")
    points = pose(head, jawOpen=0.5, tongueOut=1)
    assert points[tongue, 2].max() > points[head.landmark("lip_lower_inner"), 2] + 0.01
    assert head.vertices[tongue, 2].max() < head.vertices[head.landmark("lip_lower_inner"), 2]


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_no_tooth_shows_through_the_lips(head: HeadModel, name: str) -> None:
    """Teeth stay behind the middle of the lips' outer surface in every single shape."""
    points = pose(head, **{name: 1.0})
    lips = np.unique(head.faces[head.face_material == head.material_names.index("lips")])
    front = points[lips[np.abs(head.vertices[lips, 0]) < 0.006], 2].max()
    teeth = np.concatenate([head.part("teeth_upper"), head.part("teeth_lower")])
    if name == "jawForward":
        front += 0.002
    assert points[teeth, 2].max() < front


def test_weights_of_the_neck_and_the_brows(head: HeadModel) -> None:
    assert head.head_weight.min() == 0
    assert head.head_weight.max() == 1
    assert (head.head_weight[head.vertices[:, 1] > 0] == 1).all()
    for part in ("teeth_lower", "eye_left", "tongue", "lash"):
        assert (head.head_weight[head.part(part)] == 1).all()
    assert 0 <= head.brow_mask.min() < 0.01
    assert 0.8 < head.brow_mask.max() <= 1
    assert head.vertices[head.brow_mask > 0.5, 1].min() > head.eye_center[0, 1]


def test_proportions(head: HeadModel) -> None:
    assert 0.055 < head.eye_center[0, 0] - head.eye_center[1, 0] < 0.07
    width = (
        head.vertices[head.landmark("eye_outer_left")]
        - head.vertices[head.landmark("eye_outer_right")]
    )
    assert 0.07 < width[0] < 0.11
    assert head.jaw_hinge[0, 0] > 0 > head.jaw_hinge[1, 0]


def test_deform_batches(head: HeadModel) -> None:
    rng = np.random.default_rng(0)
    weights, gaze = rng.random((5, 52)), rng.normal(0, 0.2, (5, 2, 2))
    turn, shift = rng.normal(0, 0.2, (5, 3)), rng.normal(0, 0.01, (5, 3))
    identity = rng.normal(size=20)
    whole = head.deform(weights, gaze, turn, shift, identity)
    assert whole.shape == (5, len(head.vertices), 3)
    for t in range(5):
        one = slice(t, t + 1)
        alone = head.deform(weights[one], gaze[one], turn[one], shift[one], identity)
        np.testing.assert_allclose(alone[0], whole[t], atol=1e-6)
    np.testing.assert_allclose(head.deform(np.zeros((2, 52)))[1], head.vertices, atol=1e-7)
    assert head.deform(np.zeros((0, 52))).shape == (0, len(head.vertices), 3)


def test_eyeballs_turn_rigidly(head: HeadModel) -> None:
    gaze = np.array([[[0.3, 0.2], [-0.3, 0.1]]])
    points = head.deform(np.zeros((1, 52)), gaze)[0]
    for side, name in enumerate(("eye_left", "eye_right")):
        mine = head.part(name)
        off = points[mine] - head.eye_center[side]
        np.testing.assert_allclose(np.linalg.norm(off, axis=1), head.eye_radius, rtol=1e-4)
        front = int(np.argmax(head.vertices[mine, 2]))
        yaw, pitch = gaze[0, side]
        want = [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
        np.testing.assert_allclose(off[front] / head.eye_radius, want, atol=1e-4)
    others = ~np.isin(
        np.arange(len(points)), np.concatenate([head.part("eye_left"), head.part("eye_right")])
    )
    np.testing.assert_allclose(points[others], head.vertices[others], atol=1e-7)


def test_head_turn_is_rigid_above_and_still_below(head: HeadModel) -> None:
    turn = np.array([[0.1, 0.4, -0.2]])
    points = head.deform(np.zeros((1, 52)), None, turn, np.array([[0.01, 0, 0]]))[0]
    top, base = head.head_weight == 1, head.head_weight == 0
    want = head.vertices[top] @ rotation_matrix(turn[0]).T + [0.01, 0, 0]
    np.testing.assert_allclose(points[top], want, atol=1e-5)
    np.testing.assert_allclose(points[base], head.vertices[base], atol=1e-6)


def test_positive_yaw_turns_to_the_characters_left(head: HeadModel) -> None:
    points = head.deform(np.zeros((1, 52)), None, np.array([[0, 0.5, 0]]))[0]
    assert points[head.landmark("nose_tip"), 0] > 0.02
    matrix = gaze_rotation(np.array([0.0, 0.3]))
    assert (matrix @ [0, 0, 1])[1] > 0.2


def test_identity_moves_eyes_as_a_whole(head: HeadModel) -> None:
    sigma = np.zeros(20)
    sigma[0] = 2
    points = head.deform(np.zeros((1, 52)), identity=sigma)[0]
    centers = head.eye_centers(sigma)
    for side, name in enumerate(("eye_left", "eye_right")):
        far = np.linalg.norm(points[head.part(name)] - centers[side], axis=1)
        np.testing.assert_allclose(far, head.eye_radius, rtol=2e-3)
    assert np.abs(points - head.vertices).max() > 0.001


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("faces"), "faces"),
        (lambda a: a.update(shape_deltas=a["shape_deltas"][:51]), "shape_deltas"),
        (lambda a: a.update(shape_names=a["shape_names"][::-1]), "ARKit"),
        (lambda a: a.update(faces=a["faces"] + 99999), "faces"),
        (lambda a: a.update(vertices=a["vertices"] * np.nan), "finite"),
        (lambda a: a.update(uv=a["uv"][:, :1]), "uv"),
    ],
    ids=["missing", "too few shapes", "order", "index", "nan", "uv"],
)
def test_a_wrong_file_is_refused(tmp_path: Path, change: object, says: str) -> None:
    arrays = arrays_of(HEAD_FILE)
    change(arrays)  # type: ignore[operator]
    path = tmp_path / "head.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError) as caught:
        HeadModel.load(path)
    assert says in str(caught.value)
    assert caught.value.code is ExitCode.BAD_INPUT


def test_no_file_and_no_npz(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        HeadModel.load(tmp_path / "none.npz")
    assert caught.value.code is ExitCode.MISSING
    text = tmp_path / "text.npz"
    text.write_text("no zip")
    with pytest.raises(UserError) as caught:
        HeadModel.load(text)
    assert caught.value.code is ExitCode.BAD_INPUT


def test_wrong_arguments_are_named(head: HeadModel) -> None:
    with pytest.raises(UserError, match="weights"):
        head.deform(np.zeros((3, 51)))
    with pytest.raises(UserError, match="gaze"):
        head.deform(np.zeros((3, 52)), np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match="identity"):
        head.deform(np.zeros((3, 52)), identity=np.zeros(21))


COMBINATIONS = (
    {},
    {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"eyeBlinkLeft": 1.0, "eyeSquintLeft": 1.0, "cheekSquintLeft": 1.0, "mouthSmileLeft": 1.0},
    {"eyeLookDownLeft": 0.6, "eyeLookDownRight": 0.6, "eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    {"eyeWideLeft": 1.0, "eyeLookUpLeft": 1.0, "browInnerUp": 1.0},
)


@pytest.mark.parametrize("weights", COMBINATIONS, ids=lambda w: "+".join(w) or "rest")
def test_no_eyeball_shows_through_the_lids(head: HeadModel, weights: dict[str, float]) -> None:
    """Every outward face of the lids, sampled, lies outside both eyeballs."""
    points = pose(head, **weights)
    mine = head.triangles[np.isin(head.triangles[:, 0], head.part("skin"))]
    a, b, c = (points[mine[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    for u, v in ((1 / 3, 1 / 3), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.6, 0.2), (0.2, 0.6)):
        spot = a + u * (b - a) + v * (c - a)
        for centre in head.eye_center:
            off = spot - centre
            far = np.linalg.norm(off, axis=1)
            lid = (
                (far < 1.3 * head.eye_radius)
                & ((normal * off).sum(1) > 0.6 * far)
                & (off[:, 2] > 0)
            )
            assert lid.sum() > 50
            # The rim, which lies against the eye where four shapes meet, may touch it.
            assert far[lid].min() > head.eye_radius - 1.5e-4


def test_the_script_fits_the_shipped_head_again() -> None:
    pytest.importorskip("scipy")
    data = Path(__file__).parents[3] / "shared" / "data" / "ict"
    if not (data / "ict_facekit_light.npz").is_file():
        pytest.skip("the ICT-FaceKit Light surfaces are not here")
    from core.head.assemble import assemble

    made, shipped = assemble(data), arrays_of(HEAD_FILE)
    assert list(made) == list(shipped)
    for name, values in shipped.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(made[name], values, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(made[name], values, err_msg=name)


def test_building_without_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy")
    from core.head.build import main

    out = tmp_path / "head.npz"
    assert main(["--data", str(tmp_path), "-o", str(out)]) == int(ExitCode.BAD_INPUT)
    assert "ict_facekit_light.npz" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("sigma", [-2.0, 2.0])
def test_lids_slide_over_the_eyeball_in_any_identity(head: HeadModel, sigma: float) -> None:
    for number in range(20):
        identity = np.zeros(20)
        identity[number] = sigma
        points = head.deform(np.zeros((1, 52)), identity=identity)[0]
        centers = head.eye_centers(identity)
        for index, side in enumerate(SIDES):
            for lid in ("lid_upper", "lid_lower", "eye_inner", "eye_outer"):
                far = np.linalg.norm(points[head.landmark(f"{lid}_{side}")] - centers[index])
                assert 0 < far - head.eye_radius < 0.004, (number, lid)


def test_the_crown_does_not_fold(head: HeadModel) -> None:
    corners = head.vertices[head.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    crown = (corners[..., 1] > 0.15).all(axis=1)
    assert crown.sum() > 200
    assert (normal[crown, 1] > 0).all()
