# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of figures: as text with the target beside each figure, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """What a figure should be; both ends belong to it."""

    low: float = -math.inf
    high: float = math.inf

    def met(self, value: float) -> bool:
        """Whether the value lies within; nan does not."""
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        """``>= 0.9``, ``<= 0.05`` or ``0.9 to 1.1``."""
        if math.isinf(self.high):
            return f">= {self.low:.3g}"
        return f"<= {self.high:.3g}" if math.isinf(self.low) else f"{self.low:.3g} to {self.high:.3g}"


@dataclass(frozen=True)
class Row:
    """One figure."""

    heading: str
    """whom or what it is about; rows of the same heading stand together"""
    figure: str
    value: float
    """nan where there was nothing to judge"""
    target: Target | None = None
    beside: Mapping[str, float] = field(default_factory=dict)
    """the same figure of something else"""
    note: str = ""


def at_least(low: float) -> Target:
    """A figure that should be high."""
    return Target(low=low)


def at_most(high: float) -> Target:
    """A figure that should be low."""
    return Target(high=high)


def text(rows: Iterable[Row]) -> str:
    """The table to read: figure, value, target, ``ok`` or ``MISSED``, what stands beside it."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        lines = groups.setdefault(row.heading, [row.heading])
        target = "" if row.target is None else str(row.target)
        judged = "" if row.target is None else "ok" if row.target.met(row.value) else "MISSED"
        beside = [f"{name} {_figure(value)}" for name, value in row.beside.items()]
        more = "; ".join([*beside, *([row.note] if row.note else [])])
        lines.append(f"  {row.figure:<46}{_figure(row.value):>9}  {target:<12}{judged:<8}{more}".rstrip())
    return "\n\n".join("\n".join(lines) for lines in groups.values())


def markdown(rows: Iterable[Row]) -> str:
    """The table for a document in Markdown, without headings."""
    lines = ["| figure | value | target |", "|---|---|---|"]
    for row in rows:
        more = "".join(f"; {name} {_figure(value)}" for name, value in row.beside.items())
        lines.append(f"| {row.figure}{more} | {_figure(row.value)} | {row.target or ''} |")
    return "\n".join(lines)


def to_json(rows: Iterable[Row]) -> str:
    """The table to compute with; what could not be judged is null."""
    said = [{"heading": r.heading, "figure": r.figure, "value": _finite(r.value),
             "target": None if r.target is None else str(r.target),
             "met": None if r.target is None else r.target.met(r.value),
             "beside": {n: _finite(v) for n, v in r.beside.items()}, "note": r.note}
            for r in rows]  # fmt: skip
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def _figure(value: float) -> str:
    """Three decimals, or three digits of what is small."""
    return f"{value:.2e}" if 0 < abs(value) < 0.001 else f"{value:.3f}"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
