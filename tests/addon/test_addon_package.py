# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension as users get it: built, validated, installed from its zip, used, removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def builder():
    """Blender's own extension command, run by plain Python."""
    import bpy

    folder = bpy.utils.system_resource("SCRIPTS", path="addons_core/bl_pkg/cli")
    return [sys.executable, str(Path(folder) / "blender_ext.py")]


@pytest.fixture(scope="module")
def package(builder, tmp_path_factory):
    out = tmp_path_factory.mktemp("büild zip")
    done = subprocess.run([*builder, "build", "--source-dir", str(ROOT), "--output-dir", str(out)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = out.glob("gmtalker-*.zip")
    return path


def test_the_folder_and_the_zip_validate(builder, package):
    for path in (ROOT, package):
        done = subprocess.run([*builder, "validate", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_zip_holds_what_runs_and_nothing_else(package):
    with zipfile.ZipFile(package) as file:
        names = set(file.namelist())
    assert {"__init__.py", "blender_manifest.toml", "LICENSE"} <= names
    for needed in ("gmtalker_addon/panels.py", "core/worker.py", "core/assets/head.npz",
                   "installer/__main__.py"):  # fmt: skip
        assert needed in names
    tops = {n.split("/")[0] for n in names}
    assert not tops & {"tests", "out", "demo", "docs", "pyproject.toml"}
    assert not [n for n in names if "__pycache__" in n or n.split("/")[-1].startswith(".")]


CHILD = """
import importlib, json, sys
import bpy
import addon_utils
package, name = sys.argv[1], "bl_ext.user_default.gmtalker"
told = {}
told["install"] = sorted(bpy.ops.extensions.package_install_files(
    filepath=package, repo="user_default", enable_on_install=True))
told["enabled"] = addon_utils.check(name)
types = {n for n in dir(bpy.types) if n.startswith("GMTALKER_")}
told["panel"] = "GMTALKER_PT_main" in types
told["head"] = sorted(bpy.ops.gmtalker.add_head(name="Head"))
told["keys"] = len(bpy.data.objects["Head"].children[0].data.shape_keys.key_blocks)
main = importlib.import_module(name + ".gmtalker_addon.commands").main
told["code"] = main(["dance"])
told["torch"] = "torch" in sys.modules
addon_utils.disable(name, default_set=True)
told["left"] = [n for n in dir(bpy.types) if n.startswith("GMTALKER_") and n in types]
told["properties"] = hasattr(bpy.types.Object, "gmtalker") or hasattr(bpy.types.Scene, "gmtalker")
addon_utils.enable(name, default_set=True)
told["again"] = hasattr(bpy.types.Scene, "gmtalker")
# Not disabled: the add-on has to let Blender end by itself.
print("TOLD" + json.dumps(told))
"""


def test_the_zip_installs_works_and_leaves(package, tmp_path):
    user = tmp_path / "Größe user"
    user.mkdir()
    surroundings = {**os.environ, "BLENDER_USER_RESOURCES": str(user), "PYTHONUTF8": "1",
                    "GMTALKER_HOME": str(tmp_path / "home")}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", CHILD, str(package)], env=surroundings,
                          capture_output=True, text=True, encoding="utf-8", timeout=120)  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    [line] = [x for x in done.stdout.splitlines() if x.startswith("TOLD")]
    told = json.loads(line[4:])
    assert told == {
        "install": ["FINISHED"], "enabled": [True, True], "panel": True, "head": ["FINISHED"],
        "keys": 53, "code": 2, "torch": False, "left": [], "properties": False, "again": True,
    }  # fmt: skip


def test_blender_closed_during_a_job_ends_with_its_engine(package, tmp_path, engine, voice):
    """A whole Blender with a running job is told to quit; neither it nor the engine hangs."""
    engine("deaf")
    user = tmp_path / "user"
    user.mkdir()
    code = f"""
import importlib, sys
import bpy
bpy.ops.extensions.package_install_files(filepath={str(package)!r}, repo="user_default", enable_on_install=True)
name = "bl_ext.user_default.gmtalker.gmtalker_addon."
session, tasks = importlib.import_module(name + "session").session, importlib.import_module(name + "tasks")
bpy.ops.gmtalker.add_head(name="Head")
head = bpy.context.scene.gmtalker.character
head.gmtalker.voice = {str(voice)!r}
session.start(tasks.Generate(bpy.context, head))
while not session.job.progress.total:
    session.poll()
print("PID", session.job.worker.child.process.pid, flush=True)
"""
    surroundings = {**os.environ, "BLENDER_USER_RESOURCES": str(user), "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True,
                          text=True, encoding="utf-8", timeout=60)  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    [pid] = [int(x.split()[1]) for x in done.stdout.splitlines() if x.startswith("PID")]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
