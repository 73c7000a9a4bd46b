# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators: gather, call once, report."""

from __future__ import annotations

from . import characters, engine_work, mapping_files

CLASSES = (*characters.CLASSES, *engine_work.CLASSES, *mapping_files.CLASSES)
