# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is registered, in order; nothing swallowed."""

from __future__ import annotations

import atexit
from typing import Any

import bpy

from . import commands, operators, panels, preferences, properties
from .operators import base
from .session import session

CLASSES = (*preferences.CLASSES, *properties.CLASSES, *operators.CLASSES, *panels.CLASSES)
_command: list[Any] = []
"""The handle of the registered command, while it is registered."""


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    _command.append(bpy.utils.register_cli_command("gmtalker", commands.main))
    bpy.app.handlers.load_post.append(base.abandon)
    atexit.register(_leave)


def unregister() -> None:
    _leave()
    atexit.unregister(_leave)
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)


def _leave() -> None:
    """End the engine with Blender, and take away what must not outlive the interpreter."""
    session.close()
    if bpy.app.timers.is_registered(base.watch):
        bpy.app.timers.unregister(base.watch)
    if base.abandon in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(base.abandon)
    while _command:
        bpy.utils.unregister_cli_command(_command.pop())
