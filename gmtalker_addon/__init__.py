# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender side: properties, operators, panel and commands.

Long work runs in the engine, a process of its own; an operator called from a button returns at once
and its result arrives later, as an undo step of its own; the same operator called from a script
(``bpy.ops.gmtalker.generate()``) or without a window blocks until it is done. The scene changes only
at the end, so that a cancelled job leaves no trace.

Properties of the character, ``object.gmtalker`` (an armature or a mesh with shape keys)
    ``neutral angry contempt disgusted fear happy sad surprised``  0..1, ``intensity`` 0..1:
    ordinary animatable floats, so ``object.keyframe_insert("gmtalker.happy", frame=40)`` works.
    ``voice_source`` 'FILE' | 'STRIP', ``voice`` (file), ``voice_strip`` (name), ``frame_start``,
    ``add_sound``, ``seed``, ``lip_strength``, ``jaw_strength``, ``head_strength``, ``smoothing`` (s),
    ``look_ahead`` (ms), ``parts`` (set of 'SPEECH' 'EMOTION' 'HEAD' 'BLINK' 'GAZE'), ``use_range`` with ``range_start`` and ``range_end``,
    ``mapping`` 'AUTO' | 'CUSTOM' and ``mapping_file``, ``avatar`` (name or folder), ``frame_size``
    '256' | '512', ``transparent``, ``footage`` (folder of a render set) and ``film`` of it, ``output``
    (folder), ``tracks`` (file, set by Generate), ``frames`` (folder, set by Render Frames).

Properties of the scene, ``scene.gmtalker``
    ``character`` (the picked object), ``status`` (read only: what the panel says).

Operators, ``bpy.ops.gmtalker.*``
    ``add_head(name="Head")``           the built-in head, picked as the scene's character
    ``emotion_preset(emotion="HAPPY", strength=1.0)``              sets the sliders
    ``key_emotion(emotion="CURRENT", strength=1.0, frame=...)``    sets and keys them; frame: current
    ``generate()``                      voice to tracks, tracks to actions
    ``bake(filepath="", parts=...)``    tracks to actions once more; ``clear(parts=...)`` takes them away
    ``render_frames()``                 tracks to photoreal frames, into the Sequencer with the sound
    ``film_settings(filepath="//film.mp4")``   H.264 and AAC over the strips' range
    ``save_mapping(filepath=...)``, ``load_mapping(filepath=...)``
    ``setup()``, ``cancel()``, ``dismiss()``    the engine; the running job; the last message

Each returns ``{'FINISHED'}``, or raises ``RuntimeError`` with one line that says what to do.
"""

from __future__ import annotations


def register() -> None:
    from . import registration

    registration.register()


def unregister() -> None:
    from . import registration

    registration.unregister()
