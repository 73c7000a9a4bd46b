# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender -b [scene.blend] -c gmtalker animate | render | film | setup | avatar | bench``.

The same tasks as the buttons', blocking, with exit codes; results on stdout, all else on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..core.arkit import EMOTIONS
from ..core.errors import Cancelled, ExitCode, UserError
from ..core.tracks import FaceTracks
from . import avatar_command, baking, bench, character, head_object, sequencer, tasks, validation
from . import blender_compat as compat
from .session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .jobs import Progress


DIALS = {
    "intensity": "scales all emotions but neutral, 0..1",
    "lip_strength": "scales mouth motion",
    "jaw_strength": "scales the jaw's part in it",
    "head_strength": "scales head motion",
    "smoothing": "smooths the face over so many seconds",
    "look_ahead": "lets the mouth lead the sound by so many milliseconds",
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="blender -b [FILE.blend] -c gmtalker")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    scene = argparse.ArgumentParser(add_help=False)
    scene.add_argument("--character", metavar="NAME", help="an object; else the scene's picked one")
    saving = argparse.ArgumentParser(add_help=False)
    place = saving.add_mutually_exclusive_group(required=True)
    place.add_argument("-o", "--output", type=Path, metavar="FILE.blend", help="save the result here")
    place.add_argument("--save", action="store_true", help="save the result over the opened file")

    animate = commands.add_parser("animate", parents=[scene, saving], help="a voice to keyframes")
    animate.add_argument("voice", type=Path, metavar="VOICE", help="a sound or film file")
    animate.add_argument("--emotion", default="", metavar="NAME=WEIGHT,...", help="sets the sliders")
    for name, what in DIALS.items():
        animate.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="X", help=what)
    animate.add_argument("--text", type=Path, metavar="FILE", help="what is said: plain text, .srt or .vtt")
    animate.add_argument("--language", metavar="TAG", help="of the text, as de, fr, es, cmn (en-us)")
    animate.add_argument("--start-frame", type=int, metavar="N", help="where the voice begins")
    animate.add_argument("--seed", type=int, metavar="N", help="same seed, same face")
    animate.add_argument("--parts", metavar="PART,...", help="speech,emotion,head,blink,gaze (all)")
    animate.set_defaults(run=_animate)

    render = commands.add_parser("render", parents=[scene, saving], help="tracks to frames and strips")
    render.add_argument("--avatar", metavar="NAME", help="a name, or an avatar's folder")
    render.add_argument("--size", choices=("256", "512"), help="pixels")
    behind = render.add_mutually_exclusive_group()
    behind.add_argument("--alpha", action="store_true", help="leave out what is behind the person")
    behind.add_argument("--into", metavar="SET", type=Path, help="the face into a film that the avatar was made from")
    render.add_argument("--film", metavar="NAME", help="which film of SET (its first)")
    render.set_defaults(run=_render)

    film = commands.add_parser("film", parents=[scene], help="the strips to an MP4")
    film.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.mp4")
    film.set_defaults(run=_film)

    setup = commands.add_parser("setup", help="download the engine")
    setup.add_argument("--engine", choices=("cpu", "cuda", "mps"), help="what it runs on")
    setup.add_argument("--wheels", type=Path, metavar="DIR", help="look for wheels here first")
    setup.add_argument("--offline", action="store_true", help="touch no network")
    setup.set_defaults(run=_setup)

    avatar = commands.add_parser("avatar", help="frames of a character, to train its neural stand-in on")
    avatar_command.add_arguments(avatar)
    avatar.set_defaults(run=_avatar)

    commands.add_parser("bench", help="how fast keys are written here").set_defaults(run=_bench)
    return top


def main(argv: Sequence[str]) -> int:
    """The exit code; called by Blender with the words after the command's name."""
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as leave:
        return int(leave.code or 0)
    try:
        sys.stdout.write(f"{arguments.run(arguments)}\n")
        sys.stdout.flush()
    except UserError as error:
        sys.stderr.write(f"Error: {error}\n")
        return int(error.code)
    except (Cancelled, KeyboardInterrupt):
        sys.stderr.write("Cancelled.\n")
        return int(ExitCode.CANCELLED)
    return int(ExitCode.DONE)


def _run(task: Any) -> str:
    """Blocking, with a line on stderr now and then."""
    return session.run(task, _watcher())


def _watcher() -> Callable[[Progress], None]:
    said: list[Any] = ["", 0.0]

    def watch(progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != said[0] or now - said[1] > 5:
            said[:] = progress.stage, now
            sys.stderr.write(f"{progress}\n")
            sys.stderr.flush()

    return watch


def _require(reason: str, code: ExitCode = ExitCode.BAD_INPUT) -> None:
    if reason:
        raise UserError(reason, "", code)


def _character(name: str | None, *, add: bool = False) -> bpy.types.Object:
    """The named object, the picked one, or (to ``add``) a new built-in head."""
    settings = bpy.context.scene.gmtalker
    if name:
        obj = bpy.context.scene.objects.get(name)
        if obj is None:
            raise UserError(f"The scene has no object '{name}'.", "Check its name.")
        if not character.usable(obj):
            raise UserError(f"'{name}' has no shape keys.", "Name a mesh that has, or its armature.")
        settings.character = obj
    elif settings.character is None and add:
        settings.character = head_object.create_head(bpy.context, name="Head")
    if settings.character is None:
        raise UserError("No character is picked in this scene.",
                        "Open a .blend that has one, or name an object with --character.")  # fmt: skip
    _require(validation.no_character(bpy.context))
    return settings.character


def _animate(arguments: argparse.Namespace) -> str:
    _check_place(arguments)
    _require(validation.no_engine(bpy.context), ExitCode.MISSING)
    fresh = not bpy.data.filepath and not arguments.character and bpy.context.scene.gmtalker.character is None
    if fresh:  # no file was opened: a head in a scene of its own, without the start-up cube
        bpy.ops.wm.read_homefile(use_empty=True)
    obj = _character(arguments.character, add=True)
    settings = obj.gmtalker
    settings.voice_source, settings.voice = "FILE", str(arguments.voice.absolute())
    for name, weight in _emotion(arguments.emotion).items():
        setattr(settings, name, weight)
    for name in DIALS:
        if (value := getattr(arguments, name)) is not None:
            _set_dial(settings, name, value)
    if arguments.text is not None:
        settings.transcript = _text(arguments.text)
    if arguments.language is not None:
        settings.language = arguments.language
    if arguments.start_frame is not None:
        settings.frame_start = arguments.start_frame
    if arguments.seed is not None:
        settings.seed = arguments.seed
    if arguments.parts is not None:
        settings.parts = _parts(arguments.parts)
    with _Place(arguments, obj):
        message = _run(tasks.Generate(bpy.context, obj))
        if fresh:
            _show_all(obj)
    return f"{message} {bpy.data.filepath}"


def _show_all(obj: bpy.types.Object) -> None:
    """Let the scene last as long as the voice."""
    tracks = FaceTracks.load(bpy.path.abspath(obj.gmtalker.tracks))
    scene, first = bpy.context.scene, obj.gmtalker.frame_start
    scene.frame_start, scene.frame_end = max(0, first), max(1, first + len(tracks) - 1)
    scene.frame_set(scene.frame_start)


def _render(arguments: argparse.Namespace) -> str:
    _check_place(arguments)
    obj = _character(arguments.character)
    if arguments.avatar:
        obj.gmtalker.avatar = arguments.avatar
    if arguments.size:
        obj.gmtalker.frame_size = arguments.size
    if arguments.alpha:
        obj.gmtalker.transparent, obj.gmtalker.footage = True, ""
    if arguments.into:
        obj.gmtalker.footage = str(arguments.into.absolute())
    if arguments.film:
        if not obj.gmtalker.footage:
            raise UserError(f"No set is given that the film '{arguments.film}' is in.", "Name the set with --into SET.",
                            ExitCode.USAGE)  # fmt: skip
        obj.gmtalker.film = arguments.film
    _require(validation.no_avatar(bpy.context), ExitCode.MISSING)
    _require(validation.no_engine(bpy.context), ExitCode.MISSING)
    _require(validation.rendering(bpy.context))
    with _Place(arguments, obj):
        message = _run(tasks.RenderFrames(bpy.context, obj))
    return f"{message} {bpy.data.filepath}"


def _film(arguments: argparse.Namespace) -> str:
    obj = _character(arguments.character)
    scene, path = compat.sequencer_scene(bpy.context), arguments.output.absolute()
    sequencer.set_film(scene, obj, str(path.with_name(f".{path.stem}.{os.getpid()}.part.mp4")))
    part = Path(scene.render.filepath)
    try:
        bpy.ops.render.render(animation=True, scene=scene.name)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"Cannot write the film '{path}' ({str(error).strip()}).",
                        "Choose a folder that you can write to, with room on the disk.") from error  # fmt: skip
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _setup(arguments: argparse.Namespace) -> str:
    if not arguments.offline:
        _require(validation.offline(bpy.context), ExitCode.MISSING)
    words = ["--engine", arguments.engine] if arguments.engine else []
    words += ["--wheels", str(arguments.wheels.absolute())] if arguments.wheels else []
    words += ["--offline"] if arguments.offline else []
    return _run(tasks.SetUpEngine(words))


def _avatar(arguments: argparse.Namespace) -> str:
    obj = _character(arguments.character) if arguments.character else None
    return avatar_command.run(arguments, obj)


def _bench(arguments: argparse.Namespace) -> str:
    return bench.run()


def _emotion(text: str) -> dict[str, float]:
    """``happy=0.8,sad=0.2``"""
    found = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (p.strip() for p in part.partition("="))
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if name not in EMOTIONS or not 0 <= weight <= 1:
            raise UserError(f"Expected an emotion as name=weight, 0 to 1, got '{part}'.",
                            f"Names are {', '.join(EMOTIONS)}.", ExitCode.USAGE)  # fmt: skip
        found[name] = weight
    return found


def _text(path: Path) -> bpy.types.Text:
    """A text of the .blend with the file's content."""
    try:
        said = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the text '{path}' ({getattr(error, 'strerror', '') or error}).",
                        "Give a text file in UTF-8.") from error  # fmt: skip
    text = bpy.data.texts.new(path.name)
    text.write(said)
    return text


def _set_dial(settings: bpy.types.PropertyGroup, name: str, value: float) -> None:
    limits = settings.bl_rna.properties[name]
    if not limits.hard_min <= value <= limits.hard_max:
        most = f" to {limits.hard_max:g}" if limits.hard_max < 1e30 else " on"
        raise UserError(f"Expected --{name.replace('_', '-')} from {limits.hard_min:g}{most}, got {value:g}.",
                        "", ExitCode.USAGE)  # fmt: skip
    setattr(settings, name, value)


def _parts(text: str) -> set[str]:
    parts = {p.strip().upper() for p in text.split(",") if p.strip()}
    if not parts or parts - set(baking.PARTS):
        raise UserError(f"Expected some of {', '.join(baking.PARTS).lower()}, got '{text}'.",
                        "Separate them by commas.", ExitCode.USAGE)  # fmt: skip
    return parts


# --- saving ------------------------------------------------------------------------------------


def _check_place(arguments: argparse.Namespace) -> None:
    if arguments.save and not bpy.data.filepath:
        raise UserError("--save needs an opened file.", "Name a new one with -o FILE.blend.", ExitCode.USAGE)
    folder = Path(bpy.data.filepath if arguments.save else arguments.output).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"Cannot write to the folder '{folder}'.", "Choose one that you can write to.")


class _Place:
    """The output folder is beside the .blend that will be, and so are the paths to what is made."""

    def __init__(self, arguments: argparse.Namespace, obj: bpy.types.Object) -> None:
        self.path = Path(bpy.data.filepath if arguments.save else arguments.output).absolute()
        self.obj, self.settings = obj, obj.gmtalker
        self.made = ["tracks", "frames", *(["voice"] if arguments.command == "animate" else [])]

    def __enter__(self) -> None:
        self.output = self.settings.output
        if self.output.startswith("//"):
            self.settings.output = str(self.path.parent / self.output[2:])

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            return
        _save(self.path)
        self.settings.output = self.output
        for name in self.made:
            setattr(self.settings, name, _relative(getattr(self.settings, name)))
        self._keep_strips_relative()
        files = bpy.context.preferences.filepaths
        versions, files.save_version = files.save_version, 0  # the first save has kept the backup
        _save(self.path)
        files.save_version = versions

    def _keep_strips_relative(self) -> None:
        """Those of this character; all other paths are as their artist wants them."""
        scene = compat.sequencer_scene(bpy.context)
        for strip in sequencer.ours(scene, "voice", self.obj):
            if strip.sound is not None and strip.sound.users == 1 and not strip.sound.filepath.startswith("//"):
                strip.sound.filepath = _relative(strip.sound.filepath)
        for strip in sequencer.ours(scene, "frames", self.obj):
            if not strip.directory.startswith("//"):
                strip.directory = _relative(strip.directory) + "/"


def _relative(path: str) -> str:
    return sequencer.relative(Path(path)) if path and not path.startswith("//") else path


def _save(path: Path) -> None:
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)
    except RuntimeError as error:
        raise UserError(f"Cannot save '{path}' ({str(error).strip()}).",
                        "Choose a folder that you can write to, with room on the disk.") from error  # fmt: skip
