# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the expression generator: ``core evaluate speech``."""

from .command import main

__all__ = ["main"]
