# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin's topology: a grid round the head, with rings round mouth, eyes and ears.

- No ``bpy`` module use. Used by the build script only.

Columns run up the head, rows round it. Where a feature sits, a rectangle of cells is cut out and
filled with concentric rings, so that edge loops run round the lips and the lids; the corner of a
rectangle is a pole of five edges. A patch of quads closes the crown, the ears and the mouth cavity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Socket:
    """A rectangle of cells filled with rings.

    Attributes:
        columns: first and last column, inclusive vertices.
        rows: first and last row.
        rings: rings inside the rectangle's own border.
        cap: whether a patch of quads closes the innermost ring.

    """

    columns: tuple[int, int]
    rows: tuple[int, int]
    rings: int
    cap: bool

    @property
    def size(self) -> int:
        """Vertices of each ring."""
        return 2 * (self.columns[1] - self.columns[0] + self.rows[1] - self.rows[0])

    def border(self) -> list[tuple[int, int]]:
        """Grid places of the rectangle, counter-clockwise from its lower right (-X) corner."""
        (i0, i1), (j0, j1) = self.columns, self.rows
        return (
            [(i, j0) for i in range(i0, i1)] + [(i1, j) for j in range(j0, j1)]
            + [(i, j1) for i in range(i1, i0, -1)] + [(i0, j) for j in range(j1, j0, -1)]
        )  # fmt: skip


@dataclass
class Template:
    """Vertices by key and quads of keys.

    Attributes:
        index: key -> vertex number.
        quads: four vertex numbers each, counter-clockwise from outside.

    """

    half: int
    rows: int
    index: dict[Key, int] = field(default_factory=dict)
    quads: list[tuple[int, int, int, int]] = field(default_factory=list)

    def vertex(self, key: Key) -> int:
        """Number of a key, made when it is new."""
        return self.index.setdefault(key, len(self.index))

    def grid(self, i: int, j: int) -> int:
        """Vertex of the base grid; columns wrap at the back of the head."""
        return self.vertex(("grid", (i + self.half) % (2 * self.half) - self.half, j))

    def ring(self, name: str, socket: Socket, ring: int) -> list[int]:
        """Vertices of one ring of a socket; ring 0 is the rectangle in the grid."""
        if ring == 0:
            return [self.grid(i, j) for i, j in socket.border()]
        return [self.vertex((name, ring, k)) for k in range(socket.size)]

    def patch(self, name: str, border: Sequence[int], width: int) -> None:
        """Fill a closed ring with a rectangle of quads, ``width`` cells along its first side."""
        height = len(border) // 2 - width

        def at(a: int, b: int) -> int:
            if b == 0:
                return border[a]
            if a == width:
                return border[width + b]
            if b == height:
                return border[2 * width + height - a]
            if a == 0:
                return border[(2 * width + 2 * height - b) % len(border)]
            return self.vertex((name, a, b))

        for b in range(height):
            for a in range(width):
                self.quads.append((at(a, b), at(a + 1, b), at(a + 1, b + 1), at(a, b + 1)))


def build_template(half: int, rows: int, sockets: dict[str, Socket], crown: int) -> Template:
    """Make the skin's quads.

    Args:
        half: columns of half the head.
        rows: rows of vertices from the bust's edge to the crown's patch.
        sockets: name -> rectangle; names end in ``_left`` or ``_right`` where they come in pairs.
        crown: cells of the crown's patch from side to side.

    """
    made = Template(half, rows)
    cut = {(i, j) for s in sockets.values() for i in range(*s.columns) for j in range(*s.rows)}
    for j in range(rows - 1):
        for i in range(-half, half):
            if (i, j) not in cut:
                made.quads.append(
                    (
                        made.grid(i, j),
                        made.grid(i + 1, j),
                        made.grid(i + 1, j + 1),
                        made.grid(i, j + 1),
                    )
                )
    for name, socket in sockets.items():
        for ring in range(socket.rings):
            outer, inner = made.ring(name, socket, ring), made.ring(name, socket, ring + 1)
            for k in range(socket.size):
                n = (k + 1) % socket.size
                made.quads.append((outer[k], outer[n], inner[n], inner[k]))
        if socket.cap:
            last = made.ring(name, socket, socket.rings)
            made.patch(f"{name}_cap", last, socket.columns[1] - socket.columns[0])
    top = [made.grid(i, rows - 1) for i in range(-(crown // 2), 2 * half - crown // 2)]
    made.patch("crown", top, crown)
    return made
