# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a button is disabled, and what to do; the same words for ``poll`` and the panel.

Each function returns an empty text when nothing is in the way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..core.errors import UserError
from . import blender_compat as compat
from . import engine, voice
from .character import linked, usable
from .preferences import engine_override
from .sequencer import is_deleted
from .session import session

if TYPE_CHECKING:
    from collections.abc import Callable

    Reason = Callable[[bpy.types.Context], str]


def first_of(context: bpy.types.Context, *reasons: Reason) -> str:
    return next(filter(None, (reason(context) for reason in reasons)), "")


def busy(context: bpy.types.Context) -> str:
    if session.task is None:
        return ""
    return f"'{session.task.title}' is still running. Wait for its end, or cancel it."


def idle(context: bpy.types.Context) -> str:
    return "" if session.busy else "Nothing is running, so there is nothing to cancel."


def no_character(context: bpy.types.Context) -> str:
    obj = context.scene.gmtalker.character
    if obj is None or obj.name not in bpy.data.objects:
        return "No character is picked. Pick one, or press 'Add Built-in Head'."
    if obj.library is not None:
        return str(linked(obj, obj))
    if is_deleted(obj):  # our own pointer keeps it
        return f"'{obj.name}' is deleted. Pick another character, or undo its deletion."
    if not usable(obj):
        return f"'{obj.name}' has no shape keys. Pick a mesh that has, or its armature."
    return ""


def no_engine(context: bpy.types.Context) -> str:
    try:
        engine.find_python(engine_override())
    except UserError as error:
        return str(error)
    return ""


def no_voice(context: bpy.types.Context) -> str:
    settings = context.scene.gmtalker.character.gmtalker
    if settings.voice_source == "STRIP":
        if not settings.voice_strip:
            return "No voice is chosen. Choose a sound strip of the Sequencer."
        if voice.find_strip(compat.sequencer_scene(context), settings.voice_strip) is None:
            return f"The Sequencer has no sound strip '{settings.voice_strip}'. Choose one of its own."
        return ""
    if not settings.voice:
        return "No voice is chosen. Choose a sound or film file."
    if not Path(bpy.path.abspath(settings.voice)).is_file():
        return f"There is no voice file '{bpy.path.abspath(settings.voice)}'. Choose one that exists."
    return ""


def no_parts(context: bpy.types.Context) -> str:
    parts = context.scene.gmtalker.character.gmtalker.parts
    return "" if parts else "No part is chosen. Switch on speech, emotion, head, blink or gaze."


def no_tracks(context: bpy.types.Context) -> str:
    settings = context.scene.gmtalker.character.gmtalker
    if not settings.tracks:
        return "There are no face tracks yet. Press 'Generate' first."
    if not Path(bpy.path.abspath(settings.tracks)).is_file():
        return "The face tracks are gone from their place. Press 'Generate' again."
    return ""


def no_avatar(context: bpy.types.Context) -> str:
    name = context.scene.gmtalker.character.gmtalker.avatar
    if engine.is_avatar(name) or engine.is_avatar(bpy.path.abspath(name)):
        return ""
    known = ", ".join(engine.avatars()) or "none"
    return f"There is no avatar '{name}'. Choose one of: {known}; or an avatar's folder."


def no_frames(context: bpy.types.Context) -> str:
    frames = context.scene.gmtalker.character.gmtalker.frames
    return "" if frames else "There are no frames yet. Press 'Render Frames' first."


def offline(context: bpy.types.Context) -> str:
    if bpy.app.online_access:
        return ""
    if bpy.app.online_access_override:
        return "Online access is needed to download the engine. Launch Blender without --offline-mode."
    return ("Online access is needed to download the engine. Enable it in Preferences, System, "
            "Network, or run 'python3 -m installer setup' in a terminal.")  # fmt: skip


def animating(context: bpy.types.Context) -> str:
    return first_of(context, busy, no_character)


def generating(context: bpy.types.Context) -> str:
    return first_of(context, busy, no_character, no_voice, no_parts, no_engine)


def rendering(context: bpy.types.Context) -> str:
    return first_of(context, busy, no_character, no_tracks, no_voice, no_avatar, no_engine)


def filming(context: bpy.types.Context) -> str:
    return first_of(context, no_character, no_frames)


def setting_up(context: bpy.types.Context) -> str:
    return first_of(context, busy, offline)
