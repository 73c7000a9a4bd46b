# SPDX-License-Identifier: GPL-3.0-or-later
"""What the buttons and the commands do: gather, one job of the engine, apply.

Nothing in the scene or beside the .blend changes before ``finish``, and ``finish`` first does all
that can fail.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import bpy

from ..core.errors import UserError
from ..core.protocol import AnimateParams, RenderParams
from ..core.tracks import FaceTracks
from . import baking, character, emotion_curves, engine, sequencer, voice
from . import blender_compat as compat
from .jobs import SetupJob
from .session import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .character import Character
    from .jobs import Job

_T = TypeVar("_T", bpy.types.Object, bpy.types.Scene)

KEEP_DAYS = 7
"""How long the frames of a broken render wait for the next try."""


def output_folder(obj: bpy.types.Object) -> Path:
    """Where the character's files go; an unsaved file has no place beside it yet."""
    name = bpy.path.clean_name(obj.name)
    output = obj.gmtalker.output
    if output.startswith("//") and not bpy.data.filepath:
        return engine.home() / "files" / name
    return Path(bpy.path.abspath(output)).absolute() / name


def limits(obj: bpy.types.Object) -> tuple[int, int] | None:
    """The frame range to touch, or None for all.

    Raises:
        UserError: it ends before it begins.

    """
    settings = obj.gmtalker
    if not settings.use_range:
        return None
    if settings.range_end < settings.range_start:
        raise UserError(f"The range goes from {settings.range_start} to {settings.range_end}.",
                        "Let it end after its start.")  # fmt: skip
    return settings.range_start, settings.range_end


class _Held(Generic[_T]):
    """An object or a scene to be looked up again: an undo or another name may come between."""

    def __init__(self, one: _T) -> None:
        self._name, self._uid = one.name, one.session_uid
        self._all = "scenes" if isinstance(one, bpy.types.Scene) else "objects"

    def __call__(self) -> _T:
        for one in getattr(bpy.data, self._all):
            if one.session_uid == self._uid and not sequencer.is_deleted(one):
                return one
        what = "scene" if self._all == "scenes" else "character"
        raise UserError(f"The {what} '{self._name}' is gone.", "Undo its deletion, and run it again.")


def _check_output(folder: Path) -> None:
    """Find out before the work, not after it, that its result cannot be written."""
    existing = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise _unwritable(folder, "no permission" if existing.is_dir() else "not a folder")


def _unwritable(path: Path, reason: object) -> UserError:
    return UserError(f"Cannot write to '{path}' ({reason}).",
                     "Choose an output folder that you can write to, with room on the disk.")  # fmt: skip


def _check_rates(scene: bpy.types.Scene, strips: bpy.types.Scene) -> None:
    """A frame of the Sequencer's scene must be a frame of the character's; from 5.0 on they may be two."""
    rates = baking.scene_fps(scene), baking.scene_fps(strips)
    if rates[0] != rates[1]:
        raise UserError(f"The scene '{scene.name}' has {float(rates[0]):.6g} frames a second, the Sequencer's "
                        f"scene '{strips.name}' {float(rates[1]):.6g}.", "Give both one rate.")  # fmt: skip


class Generate:
    """Voice and emotion curves to tracks, tracks to actions."""

    title = "Generate"
    undoable = True

    def __init__(self, context: bpy.types.Context, obj: bpy.types.Object) -> None:
        self.scene, self.sequencer = _Held(context.scene), _Held(compat.sequencer_scene(context))
        self.obj = _Held(obj)
        self.folder: Path | None = None

    def begin(self) -> Job:
        obj, scene = self.obj(), self.scene()
        character.resolve(obj)  # what cannot be baked need not be computed
        limits(obj)
        _check_output(output_folder(obj))
        settings = obj.gmtalker
        strip_scene = self.sequencer()
        if settings.voice_source == "STRIP" or settings.add_sound:
            _check_rates(scene, strip_scene)
        self.fps = baking.scene_fps(scene)
        self.folder = Path(tempfile.mkdtemp(prefix="gmtalker-"))
        self.voice = voice.of(obj, strip_scene, self.fps, self.folder)
        worker = session.worker()
        emotion = self.folder / "emotion.json"
        weights = emotion_curves.sample(scene, obj, self.voice.first, self._last(scene, obj))
        emotion_curves.write(emotion, weights, self.fps)
        params = AnimateParams(
            voice=str(self.voice.path),
            output=str(self.folder / "tracks.npz"),
            fps=(self.fps.numerator, self.fps.denominator),
            start=self.voice.start,
            length=self.voice.length,
            emotion_file=str(emotion),
            seed=settings.seed,
            lip_strength=settings.lip_strength,
            jaw_strength=settings.jaw_strength,
            smoothing=settings.smoothing,
            look_ahead_ms=settings.look_ahead,
            head_strength=settings.head_strength,
            text=self._transcript(settings.transcript),
            language=settings.language,
        )
        return worker.submit(self.title, "animate", params)

    def _last(self, scene: bpy.types.Scene, obj: bpy.types.Object) -> int:
        """The last frame whose emotion counts; the engine holds it from there on."""
        given = self.voice.length
        length = voice.seconds(self.voice.path) if given is None else given
        if length is None:
            return max(scene.frame_end, emotion_curves.strips_end(obj))
        return max(scene.frame_end, self.voice.first + math.ceil(length * self.fps))

    def _transcript(self, text: bpy.types.Text | None) -> str | None:
        """The path of what is said, in the job's folder."""
        if text is None:
            return None
        said = text.as_string()
        if not said.strip():
            raise UserError(f"The transcript '{text.name}' is empty.",
                            "Write down what the voice says, or take it off.")  # fmt: skip
        path = self.folder / f"{bpy.path.clean_name(text.name)}.txt"
        path.write_text(said, encoding="utf-8")
        return str(path)

    def finish(self, result: dict[str, Any]) -> str:
        obj, scene = self.obj(), self.scene()
        made = Path(result["tracks"])
        tracks = FaceTracks.load(made)
        rig = character.resolve(obj)
        content = made.read_bytes()
        # By content: another .blend here, or this one after an undo, may still need an earlier take.
        target = output_folder(obj) / f"tracks-{hashlib.sha256(content).hexdigest()[:8]}.npz"
        with _beside(made, target) as part:
            settings = obj.gmtalker
            baking.bake(tracks, rig, self.fps, self.voice.first, settings.parts, limits(obj))
            if not target.is_file() or target.read_bytes() != content:
                os.replace(part, target)
        settings.tracks = sequencer.relative(target)
        _, trouble = _place_sound(self.sequencer, obj, self.voice, len(tracks))
        return " ".join([_baked(tracks, rig, scene, self.voice.first), *result["warnings"], *trouble])

    def discard(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _baked(tracks: FaceTracks, rig: Character, scene: bpy.types.Scene, first: int) -> str:
    """What was done; and what of it does not show, which would look like a failure."""
    said = f"Baked {len(tracks)} frames on '{rig.owner.name}'."
    last = int(baking.key_frames(tracks, baking.scene_fps(scene), first)[-1])
    if first < scene.frame_start or last > scene.frame_end:
        said += f" They go from {first} to {last}, the scene from {scene.frame_start} to {scene.frame_end}."
    if hidden := baking.hidden(rig):
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        said += f" Your own keys or drivers stay on top at {', '.join(hidden[:3])}{more}."
    if unshown := baking.unshown(rig):
        said += f" It does not show where {'; '.join(unshown[:3])}."
    return said


def _place_sound(
    strips: _Held[bpy.types.Scene], obj: bpy.types.Object, said: voice.Voice, length: int
) -> tuple[Any, list[str]]:
    """A voice file's strip, where the artist wants one; why there is none is told, and loses no work."""
    if said.strip or not obj.gmtalker.add_sound:
        return None, []
    try:
        return sequencer.place_sound(strips(), obj, said.path, said.first, length), []
    except UserError as error:
        return None, [str(error)]


class _beside:
    """A copy next to its destination, to be renamed; gone if it is not."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target
        self.part = target.with_name(f".{target.name}.{os.getpid()}.part")

    def __enter__(self) -> Path:
        made = [p for p in self.target.parents if not p.exists()]
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.source, self.part)
        except OSError as error:
            self.part.unlink(missing_ok=True)
            for folder in made:
                if folder.exists():
                    folder.rmdir()
            raise _unwritable(self.target.parent, error.strerror or error) from error
        return self.part

    def __exit__(self, *error: object) -> None:
        self.part.unlink(missing_ok=True)


class RenderFrames:
    """Tracks to photoreal frames, frames into the Sequencer."""

    title = "Render Frames"
    undoable = True

    def __init__(self, context: bpy.types.Context, obj: bpy.types.Object) -> None:
        self.scene, self.sequencer = _Held(context.scene), _Held(compat.sequencer_scene(context))
        self.obj = _Held(obj)
        self.folder: Path | None = None

    def begin(self) -> Job:
        obj = self.obj()
        settings = obj.gmtalker
        scene, strip_scene = self.scene(), self.sequencer()
        self.fps = baking.scene_fps(scene)
        path = Path(bpy.path.abspath(settings.tracks))
        self.tracks = FaceTracks.load(path)
        if self.tracks.fps != self.fps:
            raise UserError(f"The tracks have {float(self.tracks.fps):.6g} frames a second, the scene "
                            f"{float(self.fps):.6g}.", "Press 'Generate' again.")  # fmt: skip
        _check_rates(scene, strip_scene)
        _check_output(output_folder(obj))
        self.folder = Path(tempfile.mkdtemp(prefix="gmtalker-"))
        self.voice = voice.of(obj, strip_scene, self.fps, self.folder)
        self.first = voice.first_frame(obj, strip_scene, self.fps, self.tracks.start)
        avatar = settings.avatar
        if avatar not in engine.avatars():
            avatar = bpy.path.abspath(avatar)
        footage = bpy.path.abspath(settings.footage)
        params = RenderParams(
            tracks=str(path.absolute()),
            avatar=avatar,
            output="",
            size=int(settings.frame_size),
            seed=settings.seed,
            into=footage,
            film=settings.film if footage else "",
            alpha=settings.transparent and not footage,
        )
        key = hashlib.sha256(path.read_bytes() + repr(replace(params, tracks="")).encode()).hexdigest()
        what = Path(settings.film).stem or "film" if footage else settings.frame_size
        self.target = output_folder(obj) / f"frames-{Path(avatar).name}-{what}-{key[:8]}"
        self.work = self.target if self.target.is_dir() else _work_folder(key[:16])
        return session.worker().submit(self.title, "render", replace(params, output=str(self.work)))

    def finish(self, result: dict[str, Any]) -> str:
        obj = self.obj()
        frames = [self.work / f"frame_{i + 1:06d}.png" for i in range(len(self.tracks))]
        missing = [f.name for f in frames if not f.is_file()]
        if missing:
            raise UserError(f"The engine left out {len(missing)} frames, the first is {missing[0]}.",
                            "Render again.")  # fmt: skip
        scene = self.sequencer()
        if self.work != self.target:
            _move_folder(self.work, self.target)
        length = max(1, self.first + len(frames) - self.voice.first)
        sound, trouble = _place_sound(self.sequencer, obj, self.voice, length)
        if self.voice.strip:
            sound = voice.find_strip(scene, self.voice.strip)
        paths = [self.target / f.name for f in frames]
        sequencer.place_frames(scene, obj, paths, self.first, sound)
        obj.gmtalker.frames = sequencer.relative(self.target)
        return " ".join([f"Rendered {len(frames)} frames into the Sequencer.", *trouble])

    def discard(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _work_folder(key: str) -> Path:
    """Where a render collects its frames: kept after a broken one, so that the next goes on."""
    jobs = engine.home() / "jobs"
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        for old in jobs.iterdir():
            if time.time() - old.stat().st_mtime > KEEP_DAYS * 86400:
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritable(jobs, error.strerror or error) from error
    return jobs / f"render-{key}"


def _move_folder(source: Path, target: Path) -> None:
    """Rename, or copy beside and rename where the folders lie on two disks."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():  # another Blender was faster, with the same frames
            shutil.rmtree(source)
            return
        shutil.move(source, beside)
        os.rename(beside, target)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise _unwritable(target.parent, getattr(error, "strerror", None) or error) from error


class SetUpEngine:
    """The installer, with progress."""

    title = "Set Up Engine"
    undoable = False

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words

    def begin(self) -> Job:
        session.close_worker()  # it holds files of the environment that is to change
        return SetupJob(self.words)

    def finish(self, result: dict[str, Any]) -> str:
        engine.find_python()
        return "The engine is ready."

    def discard(self) -> None:
        """Downloads stay, so that the next set-up goes on."""


def bake_file(context: bpy.types.Context, obj: bpy.types.Object, path: str, parts: set[str]) -> str:
    """Bake tracks that are there already; no engine needed."""
    tracks = FaceTracks.load(bpy.path.abspath(path))
    fps, strip_scene = baking.scene_fps(context.scene), compat.sequencer_scene(context)
    if obj.gmtalker.voice_source == "STRIP":
        _check_rates(context.scene, strip_scene)
    first = voice.first_frame(obj, strip_scene, fps, tracks.start)
    rig = character.resolve(obj)
    baking.bake(tracks, rig, fps, first, parts, limits(obj))
    return _baked(tracks, rig, context.scene, first)
