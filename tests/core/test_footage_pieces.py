# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be used of footage is used and named, what cannot is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.footage.cut import refined
from core.footage.dataset import apart, held_out
from core.footage.pieces import Piece, check_enough, cuts_of, framed_alike, pieces_of, runs
from core.footage.scan import bridge
from tests.core.seen_faces import scan

Scan = dict[str, Any]


def used(film: Scan, size: int = 256) -> tuple[list[Piece], str]:
    pieces, found = pieces_of(film, 0, size)
    return pieces, str(found)


def test_a_calm_film_is_used_whole() -> None:
    pieces, told = used(scan(250))
    assert told == "250 of 250 pictures used"
    assert [len(p) for p in pieces] == [125, 125]
    assert len({p.crop for p in pieces}) == 1
    x, y, width = pieces[0].crop
    assert min(x, y) >= 0
    assert max(x, y) + width <= 400
    assert 200 < width < 400


def test_what_is_in_the_way_is_named() -> None:
    film = scan(200)
    film["points"][20:40] = np.nan
    film["faces"][60:80] = 2
    film["hand"][100:110] = True
    film["light"][130:140] = 10
    pieces, told = used(film)
    assert told.startswith("140 of 200 pictures used; 20 without a face; 20 with two faces; "
                           "10 with a hand before the mouth; 10 too dark")  # fmt: skip
    gone = {*range(20, 40), *range(60, 80), *range(100, 110), *range(130, 140)}
    assert not gone & {i for p in pieces for i in range(p.first, p.last + 1)}


def test_a_cut_parts_the_pieces() -> None:
    film = scan(150)
    film["change"][75] = 60
    assert cuts_of(film) == [75]
    film["points"][75:] += (60, 0, 0)
    pieces, told = used(film)
    assert [(p.first, p.last) for p in pieces] == [(0, 74), (75, 149)]
    assert pieces[1].crop[0] > pieces[0].crop[0] + 30
    assert "cuts: 1" in told


def test_films_of_one_framing_share_a_crop() -> None:
    crops = [(40, 30, 200), (50, 34, 204), (44, 26, 196), (120, 30, 200), (40, 30, 200)]
    sizes = [(400, 300)] * 4 + [(500, 300)]
    pieces = [Piece(film, 0, 99, crop, 25.0) for film, crop in enumerate(crops)]
    shared = [piece.crop for piece in framed_alike(pieces, sizes)]
    assert shared[0] == shared[1] == shared[2] == (47, 30, 200)
    assert shared[3:] == crops[3:]
    assert framed_alike([], []) == []


def test_a_face_that_jumps_is_a_cut_too() -> None:
    film = scan(100)
    film["points"][50:] += (80, 0, 0)
    assert cuts_of(film) == [50]


def test_quick_motion_is_no_cut() -> None:
    film = scan(100)
    film["change"][:] = 12
    assert cuts_of(film) == []


def test_short_pieces_go() -> None:
    film = scan(100)
    film["hand"][10:] = np.arange(90) % 10 == 0
    _, told = used(film)
    assert "in pieces shorter than half a second" in told


def test_a_face_at_the_border_and_one_turned_away() -> None:
    film = scan(100)
    film["points"][40:60, :, 0] += np.linspace(0, 260, 20)[:, None]
    _, told = used(film)
    assert "with the face cut off by the border" in told
    film = scan(100)
    middle = film["points"][:, :, :2].mean(1, keepdims=True)
    # A profile is narrow, and deep.
    film["points"][70:, :, 2] += 3 * (film["points"][70:, :, 0] - middle[70:, :, 0])
    film["points"][70:, :, 0] = 0.3 * (film["points"][70:, :, 0] - middle[70:, :, 0]) + middle[70:, :, 0]
    _, told = used(film)
    assert "turned far away" in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"woven": np.array(True)}, "interlaced, fields woven"),
        ({"bright": np.array(True)}, "high dynamic range, brought to sRGB"),
        ({"light": np.full(100, 40, np.float32)}, "dark: frames will be noisy"),
        ({"bridge": np.r_[np.full(40, np.nan), np.full(60, 0.1)]}, "glasses, it seems"),
        ({"times": np.cumsum(np.where(np.arange(100) % 3, 0.033, 0.066))}, "variable frame rate"),
    ],
)
def test_what_was_done_is_named(change: Scan, said: str) -> None:
    pieces, told = used({**scan(100), **change})
    assert said in told
    assert pieces


def test_glasses_step_across_the_nose_and_noses_do_not() -> None:
    points = scan(1)["points"][0]
    down = (np.arange(400) - points[[133, 362], 1].mean()) / np.linalg.norm(points[263, :2] - points[33, :2])
    soft = 130 + 30 * np.sin(6 * down)  # brow, root and back of the nose
    noise = np.random.default_rng(0).normal(scale=4, size=(400, 400, 3))
    bare = np.broadcast_to(soft[:, None, None], (400, 400, 3)) + noise
    rim = 1 - 0.3 * (np.abs(down - 0.03) < 0.02)
    assert bridge(bare.astype(np.uint8), points) < 0.05
    assert bridge((bare * rim[:, None, None]).astype(np.uint8), points) > 0.1
    tilted = points.copy()
    tilted[:, :2] = 400 - points[:, :2]  # upside down, so is the picture
    turned = (bare * rim[:, None, None])[::-1, ::-1].astype(np.uint8)
    assert bridge(turned, tilted) > 0.1
    assert bridge(np.zeros((400, 400, 3), np.uint8), points) == 0
    assert np.isnan(bridge(turned, np.full_like(points, np.nan)))


@pytest.mark.parametrize("size", [(3840, 2160), (1080, 1920), (640, 360)])
def test_any_shape_of_picture(size: tuple[int, int]) -> None:
    film = scan(50, size)
    pieces, told = used(film)
    x, y, width = pieces[0].crop
    assert 0 <= x <= size[0] - width
    assert 0 <= y <= size[1] - width
    assert ("soft" in told) == (width < 0.9 * 256)


def test_a_small_face_is_refused() -> None:
    film = scan(400, (120, 120))
    pieces, found = pieces_of(film, 0, 512)
    assert "too small" in str(found)
    with pytest.raises(UserError, match=r"got 0.0 s in 'far.mp4' \(400 pictures with a face too small\)"):
        check_enough(pieces, [found], ["far.mp4"])


def test_five_seconds_are_refused_in_one_line() -> None:
    pieces, found = pieces_of(scan(125), 0, 256)
    with pytest.raises(UserError, match=r"Expected at least 10 s of one face, got 5\.0 s in 'a\.mp4'") as caught:
        check_enough(pieces, [found], ["a.mp4"])
    assert "\n" not in str(caught.value)
    assert "for a minute or more" in str(caught.value)
    assert caught.value.code == 3
    pieces, found = pieces_of(scan(250), 0, 256)
    check_enough(pieces, [found], ["a.mp4"])


def test_every_fifth_film_or_piece_is_held_out() -> None:
    films = [Piece(film, 0, 9, (0, 0, 256), 25.0) for film in (0, 1, 2, 3, 4, 4, 5, 9)]
    assert held_out(films, 10).tolist() == [False, False, False, False, True, True, False, True]
    one = [Piece(0, n, n + 9, (0, 0, 256), 25.0) for n in range(0, 100, 10)]
    assert np.flatnonzero(held_out(one, 1)).tolist() == [4, 9]


def test_frames_that_differ_are_chosen() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(scale=0.01, size=(500, 6))
    odd = [17, 101, 333]
    features[odd] += np.eye(3, 6) * 5
    chosen = apart(features, 20)
    assert set(odd) <= set(chosen.tolist())
    assert len(chosen) <= 20
    assert apart(features, 600).tolist() == list(range(500))


def test_runs() -> None:
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert runs(np.zeros(3, bool)) == []


def test_a_mask_follows_the_picture_s_edge() -> None:
    frame = np.full((64, 64, 3), 40, np.uint8)
    frame[:, 30:] = 220
    coarse = np.clip((np.arange(64) - 24) / 10, 0, 1)[None].repeat(64, 0).astype(np.float32)
    fine = refined(frame, coarse).astype(int)
    assert fine[:, :20].max() == 0
    assert fine[:, 44:].min() == 255
    step = np.diff(fine[32])
    assert step.argmax() == 29
    assert step.max() >= 50  # twice as steep
