# SPDX-License-Identifier: GPL-3.0-or-later
"""The render set that a photoreal head is trained on: its definition and its reader.

A render set is a folder that a renderer (Blender's Cycles, for a character) or a person's footage
(`core.footage`) fills and `core train head` reads. Nothing in it is executed; arrays hold no objects.

::

    SET/
      set.json              what the set is (below)
      params.npz            one row per frame: what face, gaze and pose the frame shows
      proxy.npz             the character's own head, in the format of core/assets/head.npz
      frames/000001.png     frame of row 0; 8-bit RGB, sRGB as seen on screen, `size` x `size`
      frames/000002.png     frame of row 1; ...
      masks/000001.png      footage: where the person is in that frame; 8-bit grey, 255 inside
      registered.npz        footage: where head and shoulders are, more exactly, in some of the frames

**set.json** ::

    {"format": "gmtalker-render-set", "version": 1, "name": "ada", "size": 256,
     "camera": {"fov_y": 18.5, "position": [0.0, 0.045, 1.05]},
     "held_out": [12, 24, ...],
     "licence": "GPL-3.0-or-later", "source": "Cycles renders of ...", "credits": "...",
     "consent": "Shows no real person: ..."}

- `size`: pixels, square frames.
- `camera`: fixed for the whole set. Core space (metres, Y up, +Z out of the face, +X to the
  character's left, origin at the head pivot). The camera stands at `position`, looks along -Z, its
  up is +Y; `fov_y` is the full vertical angle of view in degrees; no lens shift, square pixels. So
  the character's left is on the right of the picture. A point (x, y, z) falls on pixel column
  ``size/2 + f (x - px)/(pz - z)`` and row ``size/2 - f (y - py)/(pz - z)`` with
  ``f = (size/2) / tan(fov_y/2)``; pixel (0, 0) is the square from 0 to 1, its centre at 0.5.
  (Blender: camera at ``(px, -pz, py)``, rotation Euler XYZ (90, 0, 0) degrees, lens unit FOV,
  square resolution.)
- `held_out`: frame numbers (1-based, as in the file names) that training never sees.
- `films`: of a set made from footage, the files; `params.npz` then has the rows marked so.

**params.npz** (N rows, float32)

==================  ===========  =================================================================
`arkit`             (N, 52)      weights 0..1 in the order of `core.arkit.ARKIT_NAMES`. Includes
                                 eyeBlink* and eyeLook*, so a shape key is set from each column.
`gaze`              (N, 2, 2)    left/right eye, yaw/pitch, radians, relative to the head; yaw > 0
                                 to the character's left, pitch > 0 up. Turns the eyeballs.
`head_rotation`     (N, 3)       axis-angle, radians, about the origin of core space.
`head_translation`  (N, 3)       metres.
`emotion`           (N, 8)       weights in the order of `core.arkit.EMOTIONS`, sum 1. Free for the
                                 character to use in its materials (creases, flush, wet eyes); the
                                 style code carries it to the network.
`film`              (N,)         footage: which of `films` the frame is from, counted from 0.
`time`              (N,)         footage: seconds in that film, on the clock of its sound.
`picture`           (N,)         footage: which of its pictures, counted from 0 as
                                 `core.tracking.pictures` gives them. Rows follow each other as the
                                 pictures do.
`crop`              (N, 4)       footage: x, y, width, height in pixels of the upright picture, that
                                 the frame shows.
==================  ===========  =================================================================

**registered.npz** (M of the frames): their `numbers` (M,), counted from 1; `head_rotation` and
`head_translation` (M, 3), which take the place of those in `params.npz`; `shoulders` (M, 2, 3), how they have
moved: what is (x, y) metres from the neck's end, to the character's left and up, when at rest, has gone by
``shoulders @ (x, y, 1)`` metres. In sets without it they are 0: still. Of films, the frames between are moved as
these were, interpolated over time.

The rest (`expression` of a track, say) follows from these. The frame of a row must show exactly what
`HeadModel.load(SET/proxy.npz).deform(arkit, gaze, head_rotation, head_translation)` gives, seen by
`camera`; hair and background are free, and what moves with neither head nor shoulders stays still.
`proxy.npz` has the identity already in its `vertices`.

`python -m core train head --design N --out SET` writes `params.npz` and a `set.json` with the
default camera. Rows are ordered so that every beginning of the list is a balanced set: a renderer
may stop early, and frames that are not there are left out of the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arkit import ARKIT_NAMES, EMOTIONS
from ..errors import UserError
from ..files import read_made, write_bytes, written_beside
from ..raster import Camera
from .head_poses import PoseDesign, design_poses

Array = NDArray[np.float32]

NO_PERSON = "Shows no real person: a made-up character, rendered."
FORMAT = "gmtalker-render-set"
VERSION = 1
_SHAPES: dict[str, tuple[int, ...]] = {
    "arkit": (len(ARKIT_NAMES),),
    "gaze": (2, 2),
    "head_rotation": (3,),
    "head_translation": (3,),
    "emotion": (len(EMOTIONS),),
}
POSE = ("arkit", "gaze", "head_rotation", "head_translation")
"""What `core.head.model.HeadModel.deform` takes."""
SEEN = (*POSE, "shoulders")
"""What `core.conditioning.HeadRenderer.render` takes."""
REGISTERED = "registered.npz"
_REGISTERED = ("numbers", "head_rotation", "head_translation", "shoulders")
_OF_FILMS: dict[str, tuple[int, ...]] = {"film": (), "time": (), "picture": (), "crop": (4,)}
_HINT = "Make the set again; `core train head --design N --out SET` writes its plan."


@dataclass(frozen=True)
class SetInfo:
    """What `set.json` says."""

    name: str
    size: int
    camera: Camera
    held_out: tuple[int, ...]
    """Frame numbers, counted from 1."""
    licence: str = ""
    source: str = ""
    consent: str = NO_PERSON
    credits: str = ""
    films: tuple[str, ...] = ()
    """Paths of the footage; none of a character."""


@dataclass(frozen=True)
class RenderSet:
    """A render set on disk: parameters in memory, frames read on demand."""

    folder: Path
    info: SetInfo
    params: dict[str, Array]
    """N rows each, see the module docstring; `shoulders` (N, 2, 3) is one of them."""
    numbers: tuple[int, ...]
    """Frames that are there, counted from 1."""

    @property
    def proxy(self) -> Path:
        """The character's head, in the format of the built-in one."""
        return self.folder / "proxy.npz"

    @property
    def footage(self) -> bool:
        """Whether the frames are a person's, from films."""
        return bool(self.info.films)

    @property
    def looks(self) -> int:
        """That an avatar made from this set has: the usual one, and one for each film."""
        return 1 + len(self.info.films)

    def split(self) -> tuple[list[int], list[int]]:
        """Frame numbers for training, and those held out."""
        held = set(self.info.held_out)
        return [n for n in self.numbers if n not in held], [n for n in self.numbers if n in held]

    def rows(self, numbers: Sequence[int]) -> dict[str, Array]:
        """The parameters of these frames."""
        index = np.asarray(numbers, dtype=np.int64) - 1
        return {name: values[index] for name, values in self.params.items()}

    def frames(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """(len(numbers), size, size, 3) sRGB."""
        size = self.info.size
        out = np.empty((len(numbers), size, size, 3), np.uint8)
        for index, number in enumerate(numbers):
            out[index] = _read_frame(self.folder / "frames" / frame_file(number), size, "RGB")
        return out

    def grey(self, number: int) -> Array:
        """(size, size) luma of a frame, 0..1."""
        red, green, blue = np.moveaxis(self.frames([number])[0].astype(np.float32) / 255, -1, 0)
        return np.asarray(0.299 * red + 0.587 * green + 0.114 * blue, np.float32)

    def masks(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """(len(numbers), size, size) where the person is, 255 inside; of footage alone."""
        size = self.info.size
        out = np.empty((len(numbers), size, size), np.uint8)
        for index, number in enumerate(numbers):
            out[index] = _read_frame(self.folder / "masks" / frame_file(number), size, "L")
        return out


def load_set(folder: Path) -> RenderSet:
    """Reads and checks a render set.

    Raises:
        UserError: something is missing, of another format, or of another shape.

    """
    info = _read_info(folder / "set.json")
    params = _read_params(folder / "params.npz", _SHAPES | (_OF_FILMS if info.films else {}))
    if info.films and not (params["film"] >= 0).all() & (params["film"] < len(info.films)).all():
        raise UserError(f"'{folder}': a frame is of a film that set.json does not name.", _HINT)
    count = len(params["arkit"])
    params["shoulders"] = np.zeros((count, 2, 3), np.float32)
    registered = folder / REGISTERED
    if registered.is_file():
        take_over(params, _read_floats(registered, _REGISTERED), registered)
    numbers = tuple(
        n for n in range(1, count + 1) if (folder / "frames" / frame_file(n)).is_file()
    )
    if not (folder / "proxy.npz").is_file():
        raise UserError(f"'{folder}' has no proxy.npz.", "Export the character's head into it.")
    return RenderSet(folder, info, params, numbers)


def looks_of(rows: dict[str, Array], looks: int) -> NDArray[np.int64]:
    """(N,) the look of each frame: its film's, of an avatar that was made from the films of this set."""
    usual = np.zeros(len(rows["arkit"]), np.int64)
    return rows["film"].astype(np.int64) + 1 if looks > 1 and "film" in rows else usual


def frame_file(number: int) -> str:
    """File name of a frame, and of its mask, counted from 1."""
    return f"{number:06d}.png"


def write_design(folder: Path, name: str, size: int, design: PoseDesign, camera: Camera) -> None:
    """Writes the plan of a set: `params.npz` and `set.json`; every 15th frame is held out.

    Not every 16th: emotions come in turn, and those would all show the same one.
    """
    info = SetInfo(name, size, camera, tuple(range(15, design.count + 1, 15)))
    write_plan(folder, info, design_poses(design))


def write_plan(folder: Path, info: SetInfo, params: dict[str, Array]) -> None:
    """Writes `params.npz`, then `set.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_beside(folder / "params.npz") as beside, beside.open("wb") as file:
        np.savez_compressed(file, **params)
    text = json.dumps({"format": FORMAT, "version": VERSION, **asdict(info)}, indent=1)
    write_bytes(folder / "set.json", (text + "\n").encode())


def _read_info(path: Path) -> SetInfo:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if (data["format"], data["version"]) != (FORMAT, VERSION):
            raise UserError(
                f"'{path}' is {data['format']} {data['version']}, expected {FORMAT} {VERSION}.",
                _HINT,
            )
        x, y, z = (float(v) for v in data["camera"]["position"])
        size, fov_y = int(data["size"]), float(data["camera"]["fov_y"])
        if size < 1 or not 0 < fov_y < 180 or not all(map(math.isfinite, (x, y, z))):
            raise ValueError(f"size {size} or camera {fov_y}, {(x, y, z)} cannot be")
        return SetInfo(
            name=str(data["name"]),
            size=size,
            camera=Camera(fov_y, (x, y, z)),
            held_out=tuple(int(v) for v in data["held_out"]),
            licence=str(data.get("licence", "")),
            source=str(data.get("source", "")),
            consent=str(data.get("consent", NO_PERSON)),
            credits=str(data.get("credits", "")),
            films=tuple(str(v) for v in data.get("films", ())),
        )
    except FileNotFoundError:
        raise UserError(f"'{path}' is missing.", _HINT) from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"'{path}' cannot be read: {error!r}.", _HINT) from error


def _read_params(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    params = _read_floats(path, shapes)
    count = (params["arkit"].shape or (0,))[0]
    for name, shape in shapes.items():
        if params[name].shape != (count, *shape):
            raise UserError(
                f"'{path}': {name} has shape {params[name].shape}, expected {(count, *shape)}.",
                _HINT,
            )
    return params


def take_over(
    params: dict[str, Array], registered: dict[str, Array], path: Path | str = REGISTERED
) -> None:
    """Puts what `registered.npz`, at ``path``, holds into a set's parameters.

    Frames of the same film that were not registered go with those that were.

    Raises:
        UserError: it is of another set.

    """
    rows = registered["numbers"].astype(np.int64).ravel() - 1
    for name in _REGISTERED[1:]:
        values, count = registered[name], len(params[name])
        fits = values.shape == (len(rows), *params[name].shape[1:])
        if not fits or ((rows < 0) | (rows >= count)).any():
            raise UserError(f"'{path}': {name} is of another set.", _HINT)
        moved = values - params[name][rows]
        if "film" in params:
            _take_along(params, name, rows, moved)
        params[name][rows] = values


def _take_along(params: dict[str, Array], name: str, rows: NDArray[np.int64], moved: Array) -> None:
    """Moves all frames of the films as some of them have to be."""
    times = params["time"]
    for film in np.unique(params["film"][rows]):
        mine, found = params["film"] == film, params["film"][rows] == film
        params[name][mine] += interpolated(times[mine], times[rows[found]], moved[found])


def interpolated(wanted: Array | NDArray[np.float64], times: Array, values: Array) -> Array:
    """(len(wanted), ...) of values (N, ...) at ascending times (N,): straight on between them, and still outside."""
    columns = [np.interp(wanted, times, column) for column in values.reshape(len(values), -1).T]
    return np.stack(columns, 1).reshape(len(wanted), *values.shape[1:]).astype(np.float32)


def _read_floats(path: Path, names: Iterable[str]) -> dict[str, Array]:
    arrays = read_made(path, _HINT, names)
    for name, value in arrays.items():
        if value.dtype.kind not in "fiub":
            raise UserError(f"'{path}': {name} holds {value.dtype}, no numbers.", _HINT)
        with np.errstate(over="ignore"):
            arrays[name] = np.asarray(value, np.float32)
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"'{path}': {name} holds a value that is not a number.", _HINT)
    return arrays


def _read_frame(path: Path, size: int, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            array = np.asarray(image.convert(mode))
    except (OSError, SyntaxError) as error:
        raise UserError(f"'{path}' cannot be read: {error}.", "Render this frame again.") from error
    if array.shape[:2] != (size, size):
        raise UserError(
            f"'{path}' has {array.shape[1]}x{array.shape[0]} pixels, expected {size}x{size}.",
            "Render this frame again at the size that set.json states.",
        )
    return array
