# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of photoreal avatars: ``core evaluate head``."""

from .command import main
from .figures import HeadFigures, evaluate, table
from .sheets import sheet

__all__ = ["HeadFigures", "evaluate", "main", "sheet", "table"]
