# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration inside Blender: install the extension, drive its operators, write the film.

Run by the Python of Blender's module: ``scene.py FOLDER VOICE PACKAGE SEED TITLE``. FOLDER takes all
that is made; VOICE is a file in it. How long each step took goes into ``job.json`` there.
"""

import json
import logging
import math
import os
import shutil
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import bpy

# isort: split
import addon_utils  # only to be found once bpy is there
from mathutils import Vector

ADDON = "bl_ext.user_default.gmtalker"
FPS = 25
AVATAR = "ada"
MOODS = (
    (0.0, "NEUTRAL"),
    (0.2, "NEUTRAL"),
    (0.3, "HAPPY"),
    (0.64, "HAPPY"),
    (0.78, "SAD"),
    (1.0, "SAD"),
)
"""The emotion curve: at which part of the line which emotion is keyed."""
COLUMNS = 8
HEAD_SIZE = 256

log = logging.getLogger("demo")
times = {}


@contextmanager
def step(name):
    """Time one step, and say that it is being done."""
    log.info("%s ...", name)
    began = time.monotonic()
    yield
    times[name] = time.monotonic() - began
    log.info("%s: %.1f s", name, times[name])


def install(package):
    """Install and enable the zip, as a user does from the preferences."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(
        filepath=str(package), repo="user_default", enable_on_install=True
    )
    if not all(addon_utils.check(ADDON)):
        raise RuntimeError(f"{ADDON} is not enabled after its installation")


def voice_frames(scene, voice):
    """How many frames the voice lasts, as the Sequencer measures it."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_sound(name="measure", filepath=str(voice), channel=1, frame_start=1)
    frames = strip.frame_duration if hasattr(strip, "frame_duration") else strip.content_duration
    sound = strip.sound
    strips.remove(strip)
    bpy.data.sounds.remove(sound)
    return frames


def key_moods(scene, frames):
    """Calm to happy to sad over the line, as keys of the character's own properties."""
    for part, emotion in MOODS:
        strength = 0.0 if emotion == "NEUTRAL" else 1.0
        frame = 1 + round(part * (frames - 1))
        bpy.ops.gmtalker.key_emotion(emotion=emotion, strength=strength, frame=frame)
    scene.frame_end = frames


def animate(scene, voice, seed):
    """The head, its emotion curve, and the voice baked on it."""
    bpy.ops.gmtalker.add_head()
    character = scene.gmtalker.character
    settings = character.gmtalker
    settings.voice_source = "FILE"
    settings.voice = f"//{voice.name}"
    settings.seed = seed
    settings.avatar = AVATAR
    settings.output = "//"
    key_moods(scene, voice_frames(scene, voice))
    bpy.ops.gmtalker.generate()
    return character


def render_photoreal(character, folder):
    """The avatar's frames, into the Sequencer; they and the tracks are kept beside the .blend."""
    bpy.ops.gmtalker.render_frames()
    settings = character.gmtalker
    shutil.copyfile(bpy.path.abspath(settings.tracks), folder / "tracks.npz")
    return Path(bpy.path.abspath(settings.frames))


def stage(scene, character):
    """A camera and three lights about the head."""
    bounds = [character.matrix_world @ Vector(c) for c in character.bound_box]
    top = max(corner.z for corner in bounds)
    aim = Vector((0.0, 0.0, top - 0.125))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens = 85
    camera.location = aim + Vector((0.0, -0.74, 0.01))
    light(scene, aim)
    camera.rotation_euler = (aim - camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera


def light(scene, aim):
    """Three lights about a place, and a dim world."""
    places = {
        "Key": ((-0.7, -0.9, 0.5), 15, 0.8),
        "Fill": ((0.9, -0.7, 0.1), 6, 1.0),
        "Rim": ((0.4, 0.8, 0.5), 7, 0.5),
    }
    for name, (place, power, size) in places.items():
        bulb = bpy.data.lights.new(name, "AREA")
        bulb.energy, bulb.size = power, size
        lamp = bpy.data.objects.new(name, bulb)
        lamp.location = aim + Vector(place)
        scene.collection.objects.link(lamp)
        lamp.rotation_euler = (aim - lamp.location).to_track_quat("-Z", "Y").to_euler()
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.05, 0.055, 0.065)


def render_heads(scene, folder, frames):
    """The keyframed head at even times over the line, named by track index."""
    (folder / "heads").mkdir()
    render = scene.render
    kept = render.filepath, render.resolution_x, render.resolution_y, render.use_sequencer
    render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = 8
    scene.cycles.use_denoising = True
    scene.view_settings.view_transform = "Standard"
    render.use_sequencer = False
    render.resolution_x = render.resolution_y = HEAD_SIZE
    render.resolution_percentage = 100
    render.use_persistent_data = True
    for column in range(COLUMNS):
        index = math.floor((column + 0.5) / COLUMNS * frames)
        scene.frame_set(index + 1)
        render.filepath = str(folder / "heads" / f"{index:06d}.png")
        bpy.ops.render.render(write_still=True)
    render.filepath, render.resolution_x, render.resolution_y, render.use_sequencer = kept


def write_film(scene, folder):
    """H.264 and AAC from the Sequencer."""
    film = folder / "demo.mp4"
    bpy.ops.gmtalker.film_settings(filepath=str(film))
    bpy.ops.render.render(animation=True)
    if not film.is_file():
        raise RuntimeError(f"no film at {film}")


def save(folder):
    """The scene; its paths are from its own place, so that the folder can be moved."""
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "demo.blend"))


def main(folder, voice, package, seed, title):
    """The whole job."""
    with step("install"):
        install(package)
        bpy.context.preferences.filepaths.save_version = 0  # no demo.blend1 beside it
        save(folder)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    with step("animate"):
        character = animate(scene, folder / voice, seed)
    frames = scene.frame_end
    with step("photoreal frames"):
        rendered = render_photoreal(character, folder)
    with step("head renders"):
        stage(scene, character)
        render_heads(scene, folder, frames)
    with step("film"):
        write_film(scene, folder)
    with step("blend"):
        scene.render.filepath = "//demo.mp4"
        save(folder)
    version = addon_utils.module_bl_info(sys.modules[ADDON]).get("version", ())
    job = {
        "title": title,
        "detail": f"Blender {bpy.app.version_string}, avatar {AVATAR}, seed {seed}, "
        f"{FPS} frames per second, emotion keyed from calm to happy to sad",
        "voice_copy": voice,
        "frames": len(list(rendered.glob("*.png"))),
        "frames_folder": str(rendered.relative_to(folder)),
        "fps": [FPS, 1],
        "avatar": AVATAR,
        "font": str(Path(bpy.utils.system_resource("DATAFILES", path="fonts")) / "Inter.woff2"),
        "version": ".".join(map(str, version)),
        "times": times,
    }
    (folder / "job.json").write_text(json.dumps(job, indent=2), encoding="utf-8")


if __name__ == "__main__":
    # Blender warns about "//" in a path property of an add-on; ours resolves it.
    warnings.filterwarnings("ignore", message=".*blend relative")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    work, voice_file, zipped, number, voice_name = sys.argv[1:]
    try:
        main(Path(work), voice_file, Path(zipped), int(number), voice_name)
    except RuntimeError as error:
        told = str(error).strip()
        if not told.startswith("Error: "):
            raise
        told = told.replace(str(Path(work, voice_file)), voice_name)  # a copy that is gone by now
        sys.stderr.write(" ".join(told.split()) + "\n")
        sys.stderr.flush()
        os._exit(3)
    sys.stderr.flush()
    os._exit(0)  # Blender's module may crash when its interpreter ends
