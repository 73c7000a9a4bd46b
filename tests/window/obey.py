# SPDX-License-Identifier: GPL-3.0-or-later
"""Run inside Blender's window: does what request files ask for, one in each tick of a timer."""

import json
import os
import sys
import traceback
from pathlib import Path

import addon_utils
import bpy

FOLDER = Path(sys.argv[-1])
TICK = 0.05
served = 0


def window():
    return bpy.context.window_manager.windows[0]


def view():
    return next(area for area in window().screen.areas if area.type == "VIEW_3D")


def sidebar():
    return next(region for region in view().regions if region.type == "UI")


def reach(path):
    """What a dotted path from ``bpy`` leads to; ``window``, ``scene`` and ``sidebar`` are short for ours."""
    first, *rest = path.split(".")
    ours = {"window": window(), "scene": window().scene, "sidebar": sidebar()}
    thing = ours.get(first) or getattr(bpy, first)
    for name in rest:
        inside = isinstance(thing, bpy.types.bpy_prop_collection) and name in thing
        thing = thing[name] if inside else getattr(thing, name)
    return thing


def value(path):
    found = reach(path)
    return list(found) if hasattr(found, "__len__") and not isinstance(found, str) else found


def names(path):
    return sorted(item.name for item in reach(path))


def put(path, value):
    owner, name = path.rsplit(".", 1)
    setattr(reach(owner), name, value)
    view().tag_redraw()


def call(path, how="EXEC_DEFAULT", **words):
    with bpy.context.temp_override(window=window(), area=view()):
        return sorted(reach(path)(how, **words))


def possible(path):
    with bpy.context.temp_override(window=window(), area=view()):
        return reach(path).poll()


def look_at_the_head():
    """Take the start-up scene away, and bring the character before the view."""
    for name in ("Cube", "Camera", "Light"):
        if name in bpy.data.objects:
            bpy.data.objects.remove(bpy.data.objects[name])
    main = next(region for region in view().regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window(), area=view(), region=main):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()


def sidebar_at(category):
    """Open the sidebar at a tab; its rectangle on the screen, from the lower left corner."""
    space = view().spaces.active
    if not space.show_region_ui:
        space.show_region_ui = True
        return None
    region = sidebar()
    if region.width < 50:
        return None
    if region.active_panel_category != category:
        region.active_panel_category = category
        region.tag_redraw()
        return None
    return [region.x, region.y, region.width, region.height]


def event(type, value, x, y):
    window().event_simulate(type=type, value=value, x=x, y=y)


def together(requests):
    """Several in one tick, in which no other timer fires."""
    return [answer(request)["value"] for request in requests]


def answer(request):
    what = request.pop("what")
    actions = {"value": value, "put": put, "call": call, "names": names, "possible": possible}
    actions |= {"together": together, "event": event, "sidebar_at": sidebar_at, "look": look_at_the_head}
    result = actions[what](**request)
    return {"value": result}


def tick():
    global served
    path = FOLDER / f"{served + 1:04d}.request"
    if path.exists():
        served += 1
        try:
            said = answer(json.loads(path.read_text(encoding="utf-8")))
        except Exception:
            said = {"error": traceback.format_exc()}
        part = path.with_suffix(".done")
        part.write_text(json.dumps(said, default=str), encoding="utf-8")
        os.replace(part, path.with_suffix(".answer"))
    return TICK


bpy.context.preferences.view.show_splash = False
addon_utils.enable("bl_ext.user_default.gmtalker", default_set=True)
bpy.app.timers.register(tick, first_interval=1.0, persistent=True)
