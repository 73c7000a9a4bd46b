# SPDX-License-Identifier: GPL-3.0-or-later
"""The 52 shapes: carried over from ICT, then lips and lids made to meet.

- No ``bpy`` module use. Used by the build script only.
"""

from __future__ import annotations

import numpy as np

from ..arkit import ARKIT_NAMES
from .skin import LID_RING, LIP_RING, SOCKETS, Skin
from .surface import Floats, Ict, Ints

LIP_PULL = {6: 0.1, 7: 0.35, 8: 0.75, 9: 1.0, 10: 0.8, 11: 0.5, 12: 0.25}
"""How far each ring of the mouth follows when the lips are brought together."""
CLOSE_PULL = {3: 0.1, 4: 0.25, 5: 0.4, 6: 0.55, 7: 0.75, 8: 0.9, 9: 1.0, 10: 0.9, 11: 0.6, 12: 0.3}
"""The same for ``mouthClose``, whose lower lip ICT lifts too far: it comes back as a whole."""
LID_PULL = {3: 0.15, 4: 0.4, 5: 0.75, 6: 0.95, 7: 1.0, 8: 1.0, 9: 1.0, 10: 0.6}
"""The same for the rings of an eye."""


def ict_name(name: str) -> tuple[str, ...]:
    """ICT's expressions that add up to an ARKit shape; none for ``tongueOut``."""
    if name == "tongueOut":
        return ()
    if name in ("browInnerUp", "cheekPuff"):
        return (f"{name}_L", f"{name}_R")
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return (name,)
    for side in ("Left", "Right"):
        if name.endswith(side):
            return (f"{name.removesuffix(side)}_{side[0]}",)
    return (name,)


def arkit_fields(ict: Ict) -> Floats:
    """(52, N, 3) offsets on ICT's vertices in ARKit's order."""
    zero = np.zeros_like(ict.neutral)
    return np.stack([sum((ict.expressions[n] for n in ict_name(a)), zero) for a in ARKIT_NAMES])


def shape(name: str) -> int:
    """Row of an ARKit shape."""
    return ARKIT_NAMES.index(name)


def other_side(name: str) -> str:
    """The ARKit shape of the other side of the face; the same one for those of both sides."""
    return name.replace("Left", "#").replace("Right", "Left").replace("#", "Right")


def opposite(ring: Ints) -> tuple[Ints, Ints]:
    """Pairs (lower, upper) across a loop whose corners stand at the middle of its sides."""
    size = len(ring)
    # The loop starts at the lower -X corner of its rectangle; the -X corner of the lips or lids
    # lies half the rectangle's height before it.
    return ring[: size // 2 + 1], np.roll(ring, -(size // 2))[: size // 2 + 1][::-1]


def loop(skin: Skin, name: str, ring: int) -> Ints:
    """A ring turned so that it starts at its -X corner and runs along the lower side."""
    socket = SOCKETS[name]
    return np.roll(skin.ring(name, ring), (socket.rows[1] - socket.rows[0]) // 2)


def sides(skin: Skin, name: str, ring: int) -> tuple[Ints, Ints]:
    """(lower, upper) vertices of a ring, from the -X to the +X corner, both corners in both."""
    return opposite(loop(skin, name, ring))


def meet(
    skin: Skin,
    name: str,
    at: int,
    pull: dict[int, float],
    points: Floats,
    share: float,
    only_crossed: bool = False,
    keep: float = 0.0,
) -> Floats:
    """Offsets (V, 3) that bring the lower and the upper side of a loop together.

    Args:
        skin: the template.
        name: socket; ``at`` the ring that has to meet; ``pull`` how far the other rings follow.
        points: (V, 3) the pose.
        share: part of the way that the upper side goes, the lower side goes the rest.
        only_crossed: leave sides alone that have a gap; part those that run through each other.
        keep: metres of height that are left between the sides.

    """
    lower, upper = sides(skin, name, at)
    gap = points[upper] - points[lower]
    gap[:, 1] -= keep
    if only_crossed:
        gap *= (gap[:, 1] < 0)[:, None]
    out = np.zeros_like(points)
    for ring, factor in pull.items():
        low, high = sides(skin, name, ring)
        out[low[1:-1]] += (1 - share) * factor * gap[1:-1]
        out[high[1:-1]] -= share * factor * gap[1:-1]
        for corner in (0, -1):
            out[low[corner]] += (0.5 - share) * factor * gap[corner]
    return out


def clear_sphere(points: Floats, centre: Floats, radius: Floats) -> Floats:
    """Offsets that push points (P, 3) out of a sphere to at least ``radius`` (P,)."""
    way = points - centre
    length = np.linalg.norm(way, axis=1)
    return np.asarray(way / length[:, None] * np.maximum(radius - length, 0)[:, None])


LIP_SHAPES = tuple(n for n in ARKIT_NAMES if n.startswith(("mouth", "cheek", "nose", "jaw")))
LID_SHAPES = tuple(n for n in ARKIT_NAMES if n.startswith("eye"))
CLEARANCE = {5: 0.0010, 6: 0.0010, 7: 0.0010, 8: 0.0004, 9: 0.0002, 10: 0.0}
"""Metres between eyeball and lid by ring: the edge keeps more, as a straight way from open to
closed cuts the corner of the sphere."""


def settle(skin: Skin, rest: Floats, deltas: Floats, eyes: Floats, radius: float) -> None:
    """Make lips touch and lids close, in place.

    Args:
        skin: the template, whose vertices come first in the head.
        rest: (S, 3) skin at rest; deltas: (52, S, 3).
        eyes: (2, 3) centres; radius: of the eyeballs, metres.

    """
    rest += meet(skin, "mouth", LIP_RING, LIP_PULL, rest, 0.5)
    together = rest + deltas[shape("jawOpen")] + deltas[shape("mouthClose")]
    deltas[shape("mouthClose")] += meet(skin, "mouth", LIP_RING, CLOSE_PULL, together, 0.1)
    for name in LIP_SHAPES:
        if name == "mouthClose":
            continue
        pose = rest + deltas[shape(name)]
        deltas[shape(name)] += meet(skin, "mouth", LIP_RING, LIP_PULL, pose, 0.5, only_crossed=True)
    for side, eye in enumerate(("eye_left", "eye_right")):
        rings = {r: skin.ring(eye, r) for r in CLEARANCE}
        mine = np.concatenate(list(rings.values()))
        need = np.concatenate([np.full(len(v), radius + CLEARANCE[r]) for r, v in rings.items()])
        rest[mine] += clear_sphere(rest[mine], eyes[side], need)
        for name in LID_SHAPES:
            row = deltas[shape(name)]
            blinks = name == ("eyeBlinkLeft", "eyeBlinkRight")[side]
            if blinks:
                row += meet(skin, eye, LID_RING, LID_PULL, rest + row, 0.8)
            row[mine] += clear_sphere(rest[mine] + row[mine], eyes[side], need)
            if blinks:
                row += meet(skin, eye, LID_RING, LID_PULL, rest + row, 0.5)


LID_HOLD = {2: 0.1, 3: 0.3, 4: 0.55, 5: 0.8, 6: 1.0, 7: 1.0, 8: 1.0, 9: 1.0, 10: 1.0}
"""How firmly the rings of an eye keep their distance to the eyeball in an identity."""


def hold_lids(skin: Skin, rest: Floats, identity: Floats, eyes: Floats, shifts: Floats) -> None:
    """Let an identity's lids slide over the eyeball, which keeps its size, in place.

    Args:
        skin: the template.
        rest: (S, 3) settled skin; identity: (20, S, 3).
        eyes: (2, 3) centres; shifts: (2, 20, 3) how each identity moves them.

    """
    for side, eye in enumerate(("eye_left", "eye_right")):
        for ring, firm in LID_HOLD.items():
            mine = skin.ring(eye, ring)
            way = rest[mine] - eyes[side]
            way /= np.linalg.norm(way, axis=1, keepdims=True)
            along = ((identity[:, mine] - shifts[side][:, None]) * way).sum(-1, keepdims=True)
            identity[:, mine] -= firm * along * way


def tongue_out(tongue: Floats) -> Floats:
    """Offsets (V, 3) of the modelled ``tongueOut``: the front stretches out over the lower lip.

    The root stays; the further forward a vertex lies, the further it slides along a path that runs
    forward, over the lower teeth, then down.
    """
    back, front = tongue[:, 2].min(), tongue[:, 2].max()
    part = (tongue[:, 2] - back) / (front - back)
    reach = part**1.5
    out = np.zeros_like(tongue)
    out[:, 2] = 0.038 * reach
    out[:, 1] = 0.004 * np.sin(np.pi * part) - 0.006 * reach**3
    middle = tongue[:, 1].mean()
    out[:, 1] += -0.45 * (tongue[:, 1] - middle) * reach
    out[:, 0] = -0.15 * tongue[:, 0] * reach
    return out
