# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion weights over time, from constants or from a file.

- No ``bpy`` module use; numpy only.

Each weight is between 0 and 1 and stays as given. What the given ones leave of 1 goes to
neutral, on top of what is given for neutral; where they add up to more than 1, neutral gets
nothing more and the sum stays above 1.

A file is JSON, ``{"fps": [num, den], "names": [...], "weights": [[...], ...]}`` with one row per
frame, or CSV with a header ``time,happy,...`` and one row per key. Times count in seconds from
the first frame of the tracks; between rows weights are linear, outside them they hold.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .arkit import EMOTIONS
from .errors import UserError

Array = npt.NDArray[np.float64]

_NAMES: Final = f"Use {', '.join(EMOTIONS)}, each from 0 to 1."
_FORM: Final = (
    'Write JSON {"fps": [25, 1], "names": ["happy"], "weights": [[0.5], ...]} or CSV with the '
    "header time,happy,..."
)


@dataclass(frozen=True)
class EmotionCurve:
    """Emotion weights as keys over time."""

    times: Array
    """(K,) seconds, rising"""
    weights: Array
    """(K, 8) in the order of :data:`~.arkit.EMOTIONS`"""

    def at(self, times: npt.ArrayLike) -> Array:
        """Weights at some instants: (T,) seconds to (T, 8)."""
        instants = np.asarray(times, np.float64)
        columns = [np.interp(instants, self.times, column) for column in self.weights.T]
        return np.stack(columns, axis=1)

    def scaled(self, intensity: float) -> EmotionCurve:
        """All emotions but neutral times 0..1; neutral takes what that leaves of 1."""
        if intensity == 1:
            return self
        weights = self.weights * intensity
        weights[:, 0] = self.weights[:, 0]
        weights[:, 0] += np.clip(1 - weights.sum(axis=1), 0, None)
        return EmotionCurve(self.times, weights)


def parse_weights(text: str) -> dict[str, float]:
    """Read ``happy=0.8,sad=0.2``; an empty text is no emotion.

    Raises:
        UserError: another form, an unknown name, or a weight that is not in 0..1.

    """
    out: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = (p.strip() for p in part.partition("="))
        if not equals:
            raise UserError(f"Expected an emotion as name=weight, got '{part}'.",
                            "Write, say, happy=0.8,sad=0.2.")  # fmt: skip
        if name in out:
            raise UserError(f"The emotion '{name}' is given twice.", "Give each once.")
        out[name] = _weight(name, value)
    return out


def constant(weights: Mapping[str, float]) -> EmotionCurve:
    """The same weights all along.

    Raises:
        UserError: an unknown name, or a weight that is not in 0..1.

    """
    names = list(weights)
    return _curve([0.0], names, [[weights[n] for n in names]], "The emotion")


def load(path: str | Path) -> EmotionCurve:
    """Read a curve from a .json or .csv file.

    Raises:
        UserError: missing, unreadable, of another form, or with wrong weights.

    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"There is no file '{file}'.", "Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read '{file}' ({error}).", _FORM) from error
    label = f"'{file}'"
    if text.lstrip().startswith("{"):
        return _from_json(text, label)
    return _from_csv(text, label)


def _from_json(text: str, label: str) -> EmotionCurve:
    try:
        data = json.loads(text)
        numerator, denominator = (Fraction(str(number)) for number in data["fps"])
        fps = numerator / denominator
        names, rows = data["names"], data["weights"]
        if fps <= 0:
            raise ValueError("fps is not above 0")
        if not all(isinstance(part, list) for part in (names, rows, *rows)):
            raise TypeError("names, weights and each row should be lists")
        times = [float(i / fps) for i in range(len(rows))]
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"{label} is no emotion curve ({error}).", _FORM) from error
    return _curve(times, [str(name) for name in names], rows, label)


def _from_csv(text: str, label: str) -> EmotionCurve:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    header = [cell.strip() for cell in rows[0]] if rows else []
    if not header or header[0] != "time":
        raise UserError(f"{label} is no emotion curve (its first column is not 'time').", _FORM)
    times = [_number(row[0], f"{label}, time") for row in rows[1:]]
    return _curve(times, header[1:], [row[1:] for row in rows[1:]], label)


def _curve(
    times: Sequence[float], names: Sequence[str], rows: Sequence[Sequence[Any]], label: str
) -> EmotionCurve:
    if not rows:
        raise UserError(f"{label} holds no weights.", _FORM)
    if len(set(names)) != len(names):
        raise UserError(f"{label} names an emotion twice.", _NAMES)
    if any(len(row) != len(names) for row in rows):
        raise UserError(f"{label} should have {len(names)} weights in each row.", _FORM)
    if any(b <= a for a, b in pairwise(times)):
        raise UserError(f"{label} has times that do not rise.", "Sort its rows by time.")
    for name in names:
        if name not in EMOTIONS:
            raise UserError(f"There is no emotion '{name}'.", _NAMES)
    out = np.zeros((len(rows), len(EMOTIONS)))
    for k, row in enumerate(rows):
        for name, value in zip(names, row):
            out[k, EMOTIONS.index(name)] = _weight(name, value)
    out[:, EMOTIONS.index("neutral")] += np.clip(1 - out.sum(axis=1), 0, None)
    return EmotionCurve(np.asarray(times, np.float64), out)


def _weight(name: str, value: Any) -> float:
    if name not in EMOTIONS:
        raise UserError(f"There is no emotion '{name}'.", _NAMES)
    number = _number(value, f"The weight of '{name}'")
    if not 0 <= number <= 1:
        raise UserError(f"The weight of '{name}' should be from 0 to 1, got {value}.", _NAMES)
    return number


def _number(value: Any, label: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{label} should be a number, got '{value}'.", "Check its spelling.")
    return number
