# SPDX-License-Identifier: GPL-3.0-or-later
"""Face tracks: what the engine predicts and Blender bakes, and their ``.npz`` file.

- No ``bpy`` module use; numpy only.

Time is rational: frame ``i`` shows the instant ``start + i * den / num`` seconds of the audio.
"""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES, GAZE_FULL_PITCH, GAZE_FULL_YAW
from .errors import UserError
from .files import read_npz, written_beside

Array = npt.NDArray[np.float32]

VERSION: Final = 1
_NTSC: Final = tuple(Fraction(1000 * whole, 1001) for whole in (24, 30, 48, 60, 120))
_MOST_DENOMINATOR: Final = 1001
"""of a rate that is read: that of all rates in use, and not so many digits that numpy cannot count them"""
_HINT: Final = "Make the file again with 'core animate'."


def parse_fps(text: str) -> Fraction:
    """Read a frame rate such as ``25``, ``23.976`` or ``30000/1001``.

    A decimal that is an NTSC rate to two places or more means the exact fraction, so that nothing
    drifts over an hour.

    Raises:
        UserError: not a number in 1..1000.

    """
    try:
        fps = Fraction(text).limit_denominator(_MOST_DENOMINATOR)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if "/" not in text:
        fps = next((rate for rate in _NTSC if abs(fps - rate) < 0.005), fps)
    if not 1 <= fps <= 1000:
        raise UserError(f"Expected a frame rate from 1 to 1000, got '{text}'.",
                        "Write it as 25, 23.976 or 30000/1001.")  # fmt: skip
    return fps


@dataclass(frozen=True)
class FaceTracks:
    """T frames of a face in FLAME-style parameter groups; left and right are the character's."""

    fps: Fraction
    """frames per second, exact, 1 to 1000"""
    expression: Array
    """(T, E) 0..1, ARKit-named, without the eye channels"""
    blink: Array
    """(T, 2) left, right; 0 open .. 1 closed"""
    gaze: Array
    """(T, 2, 2) left/right eye, yaw/pitch, radians; yaw > 0 to the character's left, pitch > 0 up"""
    head_rotation: Array
    """(T, 3) axis-angle, radians, about the head pivot; x to the left, y up, z out of the face"""
    head_translation: Array
    """(T, 3) metres"""
    emotion: Array
    """(T, 8) weights"""
    speech: Array | None = None
    """(T, E) the expression of the same voice at neutral emotion; the rest is the emotion's part"""
    expression_names: tuple[str, ...] = EXPRESSION_NAMES
    """E names"""
    emotion_names: tuple[str, ...] = EMOTIONS
    """the eight emotions"""
    start: float = 0.0
    """seconds of audio before the first frame"""
    extra: dict[str, npt.NDArray[Any]] = field(default_factory=dict, compare=False)
    """arrays of other writers, kept through load and save (say, ``tracked`` of ``core track``: (T,) bool)"""

    def __post_init__(self) -> None:
        """Check time, shapes and finiteness.

        Raises:
            UserError: no frame rate from 1 to 1000, a start that is not finite, or a track with a
                wrong shape or a value that is not a number.

        """
        if not 1 <= self.fps <= 1000:
            raise UserError(f"Expected a frame rate from 1 to 1000, got {self.fps}.", _HINT)
        if not math.isfinite(self.start):
            raise UserError(f"Expected a start in seconds, got {self.start}.", _HINT)
        t, e = (np.shape(self.expression) or (0,))[0], len(self.expression_names)
        want = {"expression": (t, e), "blink": (t, 2), "gaze": (t, 2, 2), "head_rotation": (t, 3),
                "head_translation": (t, 3), "emotion": (t, len(self.emotion_names))}  # fmt: skip
        if self.speech is not None:
            want["speech"] = (t, e)
        for name, shape in want.items():
            given = np.asarray(getattr(self, name))
            if given.dtype.kind not in "fiub":
                raise UserError(f"Track '{name}' should hold numbers, got {given.dtype}.", _HINT)
            if given.shape != shape:
                raise UserError(f"Track '{name}' should be {shape}, got {given.shape}.", _HINT)
            with np.errstate(over="ignore"):
                value = np.ascontiguousarray(given, dtype=np.float32)
            if not np.isfinite(value).all():
                raise UserError(f"Track '{name}' holds a value that is not a number.", _HINT)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def duration(self) -> Fraction:
        """Seconds that the frames cover."""
        return len(self) / self.fps

    def times(self) -> npt.NDArray[np.float64]:
        """(T,) seconds of audio of each frame."""
        step = np.arange(len(self), dtype=np.float64) * self.fps.denominator / self.fps.numerator
        return self.start + step

    def arkit_weights(self) -> Array:
        """(T, 52) weights of the ARKit blendshapes, the eye ones from blink and gaze."""
        out = np.zeros((len(self), len(ARKIT_NAMES)), np.float32)
        index = {n: i for i, n in enumerate(ARKIT_NAMES)}
        for i, name in enumerate(self.expression_names):
            if name in index:
                out[:, index[name]] = self.expression[:, i]
        for side, name in enumerate(("Left", "Right")):
            # Looking to the character's left is outwards for the left eye, inwards for the right.
            outward = self.gaze[:, side, 0] * (1 if name == "Left" else -1) / GAZE_FULL_YAW
            upward = self.gaze[:, side, 1] / GAZE_FULL_PITCH
            for shape, value in (
                ("Out", outward),
                ("In", -outward),
                ("Up", upward),
                ("Down", -upward),
            ):
                out[:, index[f"eyeLook{shape}{name}"]] = np.clip(value, 0, 1)
            out[:, index[f"eyeBlink{name}"]] = np.clip(self.blink[:, side], 0, 1)
        return out

    def cut(self, first: int, last: int) -> FaceTracks:
        """The frames ``first`` to ``last`` inclusive, counted from 0."""
        part = {f.name: getattr(self, f.name)[first : last + 1] for f in fields(self)
                if isinstance(getattr(self, f.name), np.ndarray)}  # fmt: skip
        step = Fraction(first) / self.fps
        extra = {k: v[first : last + 1] for k, v in self.extra.items()}
        return replace(self, start=self.start + float(step), extra=extra, **part)

    def save(self, path: str | os.PathLike[str], key: str = "") -> None:
        """Write the file beside its place and rename it, so that a killed run leaves no half file.

        Args:
            path: where to.
            key: what the tracks were made from, as a hash; :func:`read_key` gives it back.

        Raises:
            UserError: the place cannot be written.

        """
        arrays: dict[str, Any] = {
            "version": np.int64(VERSION),
            "fps": np.array([self.fps.numerator, self.fps.denominator], np.int64),
            "expression_names": np.array(self.expression_names),
            "emotion_names": np.array(self.emotion_names),
            "start": np.float64(self.start),
        }
        arrays |= {f.name: getattr(self, f.name) for f in fields(self)
                   if isinstance(getattr(self, f.name), np.ndarray)}  # fmt: skip
        arrays |= {k: v for k, v in self.extra.items() if k not in arrays}
        with written_beside(path) as beside, open(beside, "wb") as file:
            _write_npz(file, arrays, key)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> FaceTracks:
        """Read ``tracks.npz``.

        Raises:
            UserError: missing, unreadable, damaged, of another version, or with wrong arrays.

        """
        try:
            data = read_npz(path)
        except FileNotFoundError:
            raise UserError(f"There is no file '{path}'.", "Check the path.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"'{path}' is not a face-track file ({error}).", _HINT) from error
        try:
            return _from_arrays(data)
        except UserError as error:
            raise UserError(f"'{path}': {error.message}", error.hint) from error


def _from_arrays(data: dict[str, npt.NDArray[Any]]) -> FaceTracks:
    known = {f.name for f in fields(FaceTracks)} | {"version"}
    missing = known - data.keys() - {"speech", "extra"}
    if missing:
        raise UserError(f"The file lacks {', '.join(sorted(missing))}.", _HINT)
    (version,) = _numbers(data, "version", 1, "iu")
    if version != VERSION:
        raise UserError(f"The file has version {version}, expected {VERSION}.", _HINT)
    numerator, denominator = _numbers(data, "fps", 2, "iu")
    if not denominator:
        raise UserError(f"Expected a frame rate from 1 to 1000, got {numerator}/0.", _HINT)
    (start,) = _numbers(data, "start", 1, "fiu")
    return FaceTracks(
        fps=Fraction(numerator, denominator),
        expression_names=_names(data, "expression_names"),
        emotion_names=_names(data, "emotion_names"),
        start=float(start),
        speech=data.get("speech"),
        extra={k: v for k, v in data.items() if k not in known},
        **{n: data[n] for n in ("expression", "blink", "gaze", "head_rotation",
                                "head_translation", "emotion")},
    )  # fmt: skip


def _numbers(data: dict[str, npt.NDArray[Any]], name: str, count: int, kinds: str) -> list[Any]:
    value = data[name]
    if value.size != count or value.ndim > 1 or value.dtype.kind not in kinds:
        what = ("whole number" if kinds == "iu" else "number") + "s" * (count > 1)
        raise UserError(
            f"'{name}' should be {count} {what}, got {value.dtype} {value.shape}.", _HINT
        )
    return list(value.ravel().tolist())


def _names(data: dict[str, npt.NDArray[Any]], name: str) -> tuple[str, ...]:
    value = data[name]
    if value.ndim != 1 or (value.size and value.dtype.kind != "U"):
        raise UserError(
            f"'{name}' should be a list of names, got {value.dtype} {value.shape}.", _HINT
        )
    return tuple(str(n) for n in value)


def read_key(path: str | os.PathLike[str]) -> str:
    """The key that a file was saved with; empty if it has none or is no tracks file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment.decode("ascii", "replace")
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return ""


def made_from(path: str | os.PathLike[str], key: str) -> FaceTracks | None:
    """The tracks in a file that was made from what ``key`` says; None without such a file, or if it is damaged."""
    if read_key(path) != key:
        return None
    try:
        return FaceTracks.load(path)
    except UserError:
        return None


def _write_npz(file: Any, arrays: dict[str, Any], key: str) -> None:
    """Like ``np.savez_compressed``, with fixed time stamps: same tracks, same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = key.encode("ascii")
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as part:
                np.lib.format.write_array(  # type: ignore[no-untyped-call]
                    part, np.asanyarray(arrays[name]), allow_pickle=False
                )
