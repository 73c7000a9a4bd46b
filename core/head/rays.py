# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays against triangles.

- No ``bpy`` module use. Used by the build script only.
"""

from __future__ import annotations

import numpy as np

from .surface import Floats, Ints


def cast(points: Floats, tris: Ints, origin: Floats, way: Floats) -> tuple[Floats, Ints, Floats]:
    """First hit of rays (R, 3) with triangles (Möller and Trumbore 1997).

    Returns:
        distance (R,) (inf: none), triangle (R,), barycentric weights (R, 3).

    """
    a = points[tris[:, 0]]
    e1, e2 = points[tris[:, 1]] - a, points[tris[:, 2]] - a
    best, which = np.full(len(origin), np.inf), np.zeros(len(origin), dtype=np.int64)
    bary = np.zeros((len(origin), 3))
    for r, (o, d) in enumerate(zip(origin, way, strict=True)):
        p = np.cross(d, e2)
        det = (e1 * p).sum(1)
        det = np.where(np.abs(det) < 1e-16, np.nan, det)
        s = o - a
        u = (s * p).sum(1) / det
        q = np.cross(s, e1)
        v = (q @ d) / det
        t = (e2 * q).sum(1) / det
        ok = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6) & (t > 1e-6)
        if ok.any():
            k = int(np.argmin(np.where(ok, t, np.inf)))
            best[r], which[r], bary[r] = t[k], k, (1 - u[k] - v[k], u[k], v[k])
    return best, which, bary
