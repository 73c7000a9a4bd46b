# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of the command line, checked before any work begins."""

from __future__ import annotations

import argparse

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
