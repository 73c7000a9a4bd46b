# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist sets: on the character's object, and on the scene.

No postponed annotations here: Blender reads them as properties.
"""

import atexit
from collections.abc import Iterable
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..core.arkit import EMOTIONS
from ..core.protocol import MOST_STRENGTH
from . import blender_compat, engine, moving, sequencer
from .character import usable
from .session import session

PART_ITEMS = (
    ("SPEECH", "Speech", "Lips, jaw and tongue, and what the voice itself does to the face", 1),
    ("EMOTION", "Emotion", "What the emotion curves add to it", 2),
    ("HEAD", "Head", "Head rotation and translation", 4),
    ("BLINK", "Blink", "Eyelids", 8),
    ("GAZE", "Gaze", "Eyes", 16),
)
PATH = {"ANIMATABLE"} | blender_compat.path_options()
ALL_PARTS = {item[0] for item in PART_ITEMS}
OVERRIDE = {"LIBRARY_OVERRIDABLE"}
"""On the group and on its members: else what is set on a library override is gone after a reload."""


def _weight(name: str) -> Any:
    return FloatProperty(
        name=name.capitalize(),
        description=f"Weight of '{name}'; what all weights leave of 1 is neutral. Animate it like any property",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        options={"ANIMATABLE"},
    )


def _search_avatars(self: Any, context: bpy.types.Context, text: str) -> Iterable[str]:
    return [name for name in engine.avatars() if text.lower() in name.lower()]


def _search_sounds(self: Any, context: bpy.types.Context, text: str) -> Iterable[str]:
    strips = blender_compat.all_strips(blender_compat.sequencer_scene(context))
    return [s.name for s in strips if s.type == "SOUND" and text.lower() in s.name.lower()]


LANGUAGES = (
    "ar", "bn", "ca", "cmn", "cs", "da", "de", "el", "en-gb", "en-us", "es", "es-419", "fa", "fi", "fr", "he", "hi",
    "hu", "id", "it", "ja", "ko", "nb", "nl", "pl", "pt", "pt-br", "ro", "ru", "sv", "sw", "ta", "th", "tr", "uk",
    "ur", "vi", "yue",
)  # fmt: skip
"""suggestions; espeak-ng speaks a hundred more"""


def _search_languages(self: Any, context: bpy.types.Context, text: str) -> Iterable[str]:
    return [tag for tag in LANGUAGES if tag.startswith(text.lower())]


class GMTALKER_character_settings(bpy.types.PropertyGroup):
    """On every object, used on characters. The emotions are added below."""

    intensity: FloatProperty(
        name="Intensity",
        description="Scales all emotions but neutral. Animate it like any property",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        options={"ANIMATABLE"},
    )
    voice_source: EnumProperty(
        name="Voice From",
        items=(
            ("FILE", "File", "A sound or film file"),
            ("STRIP", "Strip", "A sound strip of the Sequencer, as it is trimmed there"),
        ),
    )
    voice: StringProperty(
        name="Voice",
        description="wav, flac, mp3, ogg, m4a, or the sound of mp4, mov, mkv",
        subtype="FILE_PATH", options=PATH,
    )
    voice_strip: StringProperty(
        name="Strip",
        description="A sound strip of the Sequencer",
        search=_search_sounds,
    )
    frame_start: IntProperty(
        name="Start Frame",
        description="Where the voice begins; a strip begins where it lies",
        default=1,
    )
    add_sound: BoolProperty(
        name="Add Sound",
        description="Put the voice into the Sequencer, so that it plays with the face",
        default=True,
    )
    transcript: PointerProperty(
        name="Transcript",
        description="What the voice says, if you have it: plain text, or subtitles (.srt, .vtt) with times. "
        "It sharpens the lips where it agrees with the voice",
        type=bpy.types.Text,
    )
    language: StringProperty(
        name="Language",
        description="Of the transcript, as a tag such as en-us, de, fr, es, cmn",
        default="en-us",
        search=_search_languages,
        search_options={"SORT", "SUGGESTION"},
    )
    seed: IntProperty(
        name="Seed",
        description="Another seed, other head motion and blinks; the same seed, the same face",
        min=0,
    )
    lip_strength: FloatProperty(
        name="Lips", description="Scales mouth motion", default=1.0, min=0.0, soft_max=2.0, max=MOST_STRENGTH,
    )
    jaw_strength: FloatProperty(
        name="Jaw",
        description="Scales how far the jaw drops in speech; closed lips stay closed",
        default=1.0, min=0.0, soft_max=2.0, max=MOST_STRENGTH,
    )
    smoothing: FloatProperty(
        name="Smoothing",
        description="Smooths the face's motion over this time, without delay; closed lips stay closed. "
        "0 leaves it as it is",
        min=0.0, max=1.0, soft_max=0.2, step=1, precision=3, unit="TIME_ABSOLUTE",
    )
    look_ahead: FloatProperty(
        name="Look-Ahead (ms)",
        description="The mouth leads the sound by so many milliseconds, as when keys are slipped ahead. "
        "0 keeps it in sync",
        min=0.0, max=500.0, soft_max=120.0, step=1000, precision=0,
    )
    head_strength: FloatProperty(
        name="Head", description="Scales head motion", default=1.0, min=0.0, soft_max=2.0, max=MOST_STRENGTH,
    )
    parts: EnumProperty(
        name="Parts",
        description="What is baked; the other parts stay as they are",
        items=PART_ITEMS,
        options={"ENUM_FLAG"},
        default=ALL_PARTS,
    )
    use_range: BoolProperty(
        name="Range Only", description="Replace keys in a frame range only, and leave the others"
    )
    range_start: IntProperty(name="From", default=1)
    range_end: IntProperty(name="To", default=250)
    mapping: EnumProperty(
        name="Mapping",
        items=(
            ("AUTO", "ARKit Names", "Shape keys and bones are found by their names"),
            ("CUSTOM", "File", "A mapping file says which channel drives what"),
        ),
    )
    mapping_file: StringProperty(name="Mapping File", subtype="FILE_PATH", options=PATH)
    avatar: StringProperty(
        name="Avatar",
        description="Whose photoreal frames are rendered: a name, or an avatar's folder",
        default="ada",
        search=_search_avatars,
        search_options={"SORT", "SUGGESTION"},
    )
    frame_size: EnumProperty(
        name="Size",
        items=(("256", "256 px", "256 by 256 pixels"), ("512", "512 px", "512 by 512 pixels")),
    )
    transparent: BoolProperty(
        name="Transparent",
        description="Leave out what is behind the person, if the avatar can: those made from footage",
    )
    footage: StringProperty(
        name="Footage",
        description="Put the face into a film that the avatar was made from, on the film's own head motion: the "
        "folder 'set-...' in AVATAR.work. Empty: the face alone",
        subtype="DIR_PATH", options=PATH,
    )
    film: StringProperty(name="Film", description="Which film of the footage; its first if empty")
    output: StringProperty(
        name="Output",
        description="Folder for face tracks and frames; beside an unsaved file: in the user's data folder",
        default="//gmtalker",
        subtype="DIR_PATH", options=PATH,
    )
    tracks: StringProperty(
        name="Tracks", description="Face tracks, written by Generate", subtype="FILE_PATH", options=PATH
    )
    frames: StringProperty(
        name="Frames", description="Folder of frames, written by Render Frames", subtype="DIR_PATH", options=PATH
    )


GMTALKER_character_settings.__annotations__ |= {name: _weight(name) for name in EMOTIONS}
GMTALKER_character_settings.__annotations__ |= {
    name: made.function(**made.keywords, override=OVERRIDE)
    for name, made in GMTALKER_character_settings.__annotations__.items()
}


@bpy.app.handlers.persistent
def _before_saving(path: str, *_: Any) -> None:
    _open_references()
    _release_deleted()
    moving.follow(path)


@bpy.app.handlers.persistent
def _after_saving(path: str, *_: Any) -> None:
    moving.settle(path)


def _open_references() -> None:
    """Give the linked object behind each override its settings too, in memory.

    Since 5.0 Blender saves members only where both have the group, and nothing at all where the
    library was saved without this add-on. Reading the group makes it.
    """
    for obj in bpy.data.objects:
        if obj.override_library and obj.override_library.reference:
            obj.override_library.reference.gmtalker  # noqa: B018


def _release_deleted() -> None:
    """Do not keep a deleted character in the file: our pointers count as its users.

    Not sooner, for then an undo brings both back.
    """
    for scene in bpy.data.scenes:
        if scene.library is None:
            sequencer.release_deleted(scene)
            if scene.gmtalker.character is not None and sequencer.is_deleted(scene.gmtalker.character):
                scene.gmtalker.character = None


class GMTALKER_scene_settings(bpy.types.PropertyGroup):
    character: PointerProperty(
        name="Character",
        description="An armature, or a mesh with shape keys",
        type=bpy.types.Object,
        poll=lambda self, obj: usable(obj),
    )
    status: StringProperty(
        name="Status",
        description="What is going on, or the last message",
        get=lambda self: session.status,
        options={"SKIP_SAVE"},
    )


HANDLERS = {"save_pre": _before_saving, "save_post": _after_saving, "save_post_fail": _after_saving}
CLASSES = (GMTALKER_character_settings, GMTALKER_scene_settings)


def register() -> None:
    bpy.types.Object.gmtalker = PointerProperty(type=GMTALKER_character_settings, override=OVERRIDE)
    bpy.types.Scene.gmtalker = PointerProperty(type=GMTALKER_scene_settings)  # scenes have no overrides
    for name, handler in HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)
    atexit.register(_forget_handlers)


def unregister() -> None:
    atexit.unregister(_forget_handlers)
    _forget_handlers()
    del bpy.types.Scene.gmtalker
    del bpy.types.Object.gmtalker


def _forget_handlers() -> None:
    """A handler that outlives the interpreter hangs the exit of Blender's module."""
    for name, handler in HANDLERS.items():
        if handler in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(handler)
