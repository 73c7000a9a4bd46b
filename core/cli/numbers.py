# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of the command line, checked before any work begins."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from fractions import Fraction

from ..errors import UserError
from ..tracks import parse_fps

MOST_SEED = 2**31 - 1
"""As large as Blender's whole numbers."""


def natural(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got '{text}'")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1."""
    value = natural(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got '{text}'")
    return value


def seed(text: str) -> int:
    """A whole number from 0 to `MOST_SEED`."""
    value = natural(text)
    if value > MOST_SEED:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {MOST_SEED}, got '{text}'")
    return value


def frame_rate(text: str) -> Fraction:
    """A frame rate on the command line."""
    try:
        return parse_fps(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def number(low: float, high: float = math.inf) -> Callable[[str], float]:
    """A converter for finite numbers from ``low`` to ``high``."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value):
            on = "on" if math.isinf(high) else f"to {high:g}"
            what = "a number above 0" if low > 0 else f"a number from 0 {on}"
            raise argparse.ArgumentTypeError(f"expected {what}, got '{text}'")
        return value

    return convert
