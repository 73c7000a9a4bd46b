# SPDX-License-Identifier: GPL-3.0-or-later
"""What a neural stand-in of a character is for: how much faster it is, and that its emotions can be told.

- Time a frame: wall time of ``core render`` from tracks to PNG on disk, the first frame (which loads)
  left out. The renderer's is what ``set.json`` says, else Blender's notes in the true frames
  (``RenderTime``), their mean.
  Where other work slows one of them, the processor's time tells more: the avatar's is measured, and
  the renderer's is taken as its time on all of this machine's cores.
- Emotion sheet: one neutral voice is animated eight times with the same seed, each time with one emotion at
  weight 1; five instants, evenly over the voice's loudest moments, one line an emotion.
- Apart: for two emotions, the root mean square of the difference of their frames at the same instants,
  over the whole picture, in units of 1/255; the least over all pairs.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES
from ...audio import SAMPLE_RATE, load
from ...avatars import Avatar
from ...pipeline import animate
from ...progress import Progress, silent
from ...protocol import AnimateParams, RenderParams
from ...render import Rows as TrackRows
from ...render import render
from ...tracks import FaceTracks
from ...training.head_data import RenderSet
from .frames import Maker, Pictures, Rows

MOMENTS: Final = 5
"""Instants of the emotion sheet."""
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_TIMED: Final = 50
"""Frames that are timed at most."""


class Pace(NamedTuple):
    """Seconds a frame."""

    wall: float
    processor: float


def renderer_seconds(data: RenderSet, numbers: Sequence[int]) -> tuple[float, str]:
    """Seconds that Blender took for a frame, nan where nothing tells; by what, as text.

    ``set.json`` tells, or what Blender wrote into the frames of sets that were made without.
    """
    made = json.loads((data.folder / "set.json").read_text(encoding="utf-8"))
    if "render_seconds" in made:
        return float(made["render_seconds"]), str(made.get("renderer", ""))
    found, samples = [], set()
    for number in numbers:
        with Image.open(data.folder / "frames" / f"{number:06d}.png") as image:
            said = {str(name): str(value) for name, value in image.info.items()}
        found.append(clock_seconds(said.get("RenderTime", "")))
        samples |= {v for n, v in said.items() if n.startswith("cycles.") and n.endswith(".samples")}
    note = f"Cycles, {' or '.join(sorted(samples))} samples a pixel" if samples else ""
    return float(np.mean(found)) if found else float("nan"), note


def clock_seconds(text: str) -> float:
    """Seconds of ``01:02:03.45`` or ``02:03.45``; nan of anything else."""
    match = _CLOCK.fullmatch(text.strip())
    if not match:
        return float("nan")
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def pace(avatar: Avatar, rows: Rows) -> Pace:
    """How fast ``core render`` makes the frames of these rows."""
    tracks = tracks_of({name: values[: _TIMED + 1] for name, values in rows.items()})
    if len(tracks) < 2:
        return Pace(float("nan"), float("nan"))
    size = 512 if avatar.config.resolution > 256 else 256
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "tracks.npz"), Path(folder, "frames")
        tracks.save(file)
        render(RenderParams(str(file), str(avatar.folder), str(out), (1, 1), size))
        wall, processor = time.perf_counter(), time.process_time()
        render(RenderParams(str(file), str(avatar.folder), str(out), (2, len(tracks)), size))
        count = len(tracks) - 1
        return Pace((time.perf_counter() - wall) / count, (time.process_time() - processor) / count)


def tracks_of(rows: Rows) -> FaceTracks:
    """Face tracks that show what these rows of a render set show."""
    arkit = rows["arkit"]
    return FaceTracks(
        fps=Fraction(25),
        expression=arkit[:, [ARKIT_NAMES.index(n) for n in EXPRESSION_NAMES]],
        blink=arkit[:, [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]],
        gaze=rows["gaze"],
        head_rotation=rows["head_rotation"],
        head_translation=rows["head_translation"],
        emotion=rows["emotion"],
    )


def emotion_frames(avatar: Avatar, voice: Path, progress: Progress = silent) -> tuple[Pictures, float, str]:
    """Frames of each emotion at weight 1 over one voice.

    Returns:
        (8, 5, H, W, 3) frames; how far apart the two most alike emotions are, 1/255; which they are.

    Raises:
        UserError: the voice cannot be read.

    """
    moments = loud_moments(voice)
    maker = Maker(avatar)
    made = []
    for number, name in enumerate(EMOTIONS):
        progress("emotions", number, len(EMOTIONS))
        tracks = animate(AnimateParams(voice=str(voice), output="", emotion={name: 1.0}))
        at = np.clip(np.searchsorted(tracks.times(), moments), 0, len(tracks) - 1)
        made.append(maker.make(rows_of(tracks, at)))
    progress("emotions", len(EMOTIONS), len(EMOTIONS))
    apart, pair = least_apart(np.stack(made))
    return np.stack(made), apart, pair


def rows_of(tracks: FaceTracks, at: NDArray[np.int64]) -> Rows:
    """Rows of a render set that show these frames of the tracks."""
    rows = TrackRows.of(tracks)
    return {"arkit": rows.weights[at], "gaze": rows.gaze[at], "head_rotation": rows.rotation[at],
            "head_translation": rows.translation[at], "emotion": rows.emotion[at]}  # fmt: skip


def loud_moments(voice: Path) -> NDArray[np.float64]:
    """Seconds of the loudest moment in each of five equal parts of a voice."""
    samples = load(voice)
    hop = SAMPLE_RATE // 25
    level = np.square(samples[: len(samples) // hop * hop].reshape(-1, hop)).mean(1)
    parts = np.array_split(np.arange(len(level)), MOMENTS)
    return np.array([part[level[part].argmax()] if len(part) else 0 for part in parts]) / 25


def least_apart(frames: Pictures) -> tuple[float, str]:
    """Least root mean square difference of two emotions' frames (8, M, H, W, 3), and their names."""
    values = torch.from_numpy(frames).float()
    found = {}
    for a, b in combinations(range(len(frames)), 2):
        found[f"{EMOTIONS[a]} and {EMOTIONS[b]}"] = float((values[a] - values[b]).square().mean().sqrt())
    pair = min(found, key=lambda names: found[names])
    return found[pair], pair
