# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender extension entry point: forwards to ``gmtalker_addon``.

Lazy, because test runners without ``bpy`` import the repository's root as well.
"""

from __future__ import annotations


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import gmtalker_addon

    gmtalker_addon.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from . import gmtalker_addon

    gmtalker_addon.unregister()
