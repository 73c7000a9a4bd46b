# SPDX-License-Identifier: GPL-3.0-or-later
"""Render the tiles of the sheets of faces inside Blender.

Run by the Python of Blender's module: ``faces_scene.py FOLDER PACKAGE``. FOLDER holds ``faces.json``
and takes ``faces/``, a picture for each of its tiles.
"""

import importlib
import json
import logging
import os
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from scene import ADDON, install, light

SIZE = 224
SAMPLES = 10
VIEWS = {False: (0.150, 0.56), True: (0.193, 0.34)}
"""of the whole face and of a mouth close by: metres below the crown, metres away"""

log = logging.getLogger("faces")


def camera(scene, top, close):
    """Put the camera before the face or the mouth."""
    below, away = VIEWS[close]
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        scene.collection.objects.link(scene.camera)
        scene.camera.data.lens = 85
    aim = Vector((0.0, 0.0, top - below))
    scene.camera.location = aim + Vector((0.0, -away, 0.01))
    scene.camera.rotation_euler = (aim - scene.camera.location).to_track_quat("-Z", "Y").to_euler()


def render(scene, rig, head, tiles, folder):
    """One picture for each tile."""
    bounds = [rig.matrix_world @ Vector(corner) for corner in head.head_mesh(rig).bound_box]
    top = max(corner.z for corner in bounds)
    light(scene, Vector((0.0, 0.0, top - 0.125)))
    settings = scene.render
    settings.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples, scene.cycles.use_denoising = "CPU", SAMPLES, True
    scene.view_settings.view_transform = "Standard"
    settings.resolution_x = settings.resolution_y = SIZE
    settings.resolution_percentage = 100
    settings.use_persistent_data = True
    ahead = np.zeros((2, 2), np.float32)
    for number, tile in enumerate(tiles):
        camera(scene, top, tile["close"])
        head.pose_head(rig, tile["weights"], ahead, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        settings.filepath = str(folder / "faces" / f"{number:04}.png")
        bpy.ops.render.render(write_still=True)
        log.info("face %d of %d", number + 1, len(tiles))


def main(folder, package):
    """The whole job."""
    install(package)
    head = importlib.import_module(f"{ADDON}.gmtalker_addon.head_object")
    tiles = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
    rig = head.create_head(bpy.context)
    render(bpy.context.scene, rig, head, tiles, folder)
    font = Path(bpy.utils.system_resource("DATAFILES", path="fonts")) / "Inter.woff2"
    (folder / "font.txt").write_text(str(font), encoding="utf-8")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stderr.flush()
    os._exit(0)  # Blender's module may crash when its interpreter ends
