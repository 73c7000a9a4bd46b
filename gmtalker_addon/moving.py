# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``//`` paths of our settings when the .blend goes to another folder.

Blender takes its own data-blocks' paths along, but no add-on's.
"""

from __future__ import annotations

from pathlib import Path

import bpy

FILES = ("voice", "mapping_file", "avatar", "footage", "tracks", "frames")
"""Settings that name what is there; ``output`` says where to write, seen from whatever .blend it is in."""
_before: list[tuple[bpy.types.PropertyGroup, str, str]] = []
"""What the last save has changed: settings, name, value."""


def follow(target: str) -> None:
    """Let them lead to the same files from where the .blend is about to be written."""
    _before.clear()
    folder = Path(target).parent
    if not bpy.data.filepath or Path(bpy.data.filepath).parent == folder:
        return
    for settings in (obj.gmtalker for obj in bpy.data.objects if obj.library is None):
        for name in FILES:
            path = getattr(settings, name)
            if path.startswith("//"):
                _before.append((settings, name, path))
                setattr(settings, name, _from(folder, bpy.path.abspath(path)))


def _from(folder: Path, path: str) -> str:
    try:
        return bpy.path.relpath(path, start=str(folder))
    except ValueError:  # another drive
        return path


def settle(target: str) -> None:
    """Set them back where only a copy was written, or nothing: the opened .blend has not moved."""
    for settings, name, path in _before if bpy.data.filepath != target else ():
        setattr(settings, name, path)
    _before.clear()
