# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the demonstration's sheet: photoreal frames, head renders and curves on one time axis.

Run by the engine's Python from the repository's root: ``python -m demo.sheet FOLDER``. FOLDER holds
``tracks.npz``, ``frames/``, ``heads/`` (a render of the keyframed head for each column, named by its
track index) and ``job.json``.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from core import audio
from core.tracks import FaceTracks

Values = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

TILE, GAP, MARGIN, LABEL = 256, 10, 36, 170
PLOT = 118
BACK, PANEL, TEXT, FAINT = (22, 24, 29), (32, 35, 42), (232, 234, 238), (128, 134, 146)
EMOTION_COLOURS: dict[str, Colour] = {
    "neutral": (150, 160, 175), "angry": (226, 86, 74), "contempt": (170, 120, 200),
    "disgusted": (120, 176, 84), "fear": (140, 110, 230), "happy": (246, 190, 62),
    "sad": (84, 142, 232), "surprised": (240, 132, 190),
}  # fmt: skip
LINES: tuple[Colour, ...] = ((246, 190, 62), (96, 200, 170), (236, 110, 120), (110, 160, 250))


@dataclass(frozen=True)
class Curve:
    """One line of a plot: (T,) values between ``low`` and ``high``."""

    name: str
    values: Values
    colour: Colour


class Sheet:
    """A canvas whose columns stand at even times over the line."""

    def __init__(
        self, tracks: FaceTracks, columns: list[int], rows: int, plots: int, typeface: str
    ) -> None:
        self.tracks, self.columns = tracks, columns
        self._font = ImageFont.truetype(typeface)
        width = 2 * MARGIN + LABEL + len(columns) * (TILE + GAP) - GAP
        height = 2 * MARGIN + 92 + rows * (TILE + GAP) + plots * (PLOT + GAP) + 26
        self.image = Image.new("RGB", (width, height), BACK)
        self.draw = ImageDraw.Draw(self.image)
        self.left, self.y = MARGIN + LABEL, MARGIN
        self.right = width - MARGIN

    def write(
        self, x: float, y: float, text: str, size: int, colour: Colour, anchor: str = "la"
    ) -> None:
        """A line of text, its upper left corner (or middle) at a place."""
        self.draw.text((x, y), text, colour, self._font.font_variant(size=size), anchor)

    def x(self, index: Values | float) -> Values:
        """Where a track index stands: the columns' pictures are centred on their instants."""
        first, last = self.columns[0], max(self.columns[-1], self.columns[0] + 1)
        span = self.right - self.left - TILE
        place = (np.asarray(index, np.float64) - first) / (last - first)
        return np.asarray(self.left + TILE / 2 + place * span)

    def title(self, text: str, detail: str) -> None:
        """The two lines on top."""
        self.write(MARGIN, self.y, text, 36, TEXT)
        self.write(MARGIN, self.y + 50, detail, 18, FAINT)
        self.y += 92

    def pictures(self, label: str, paths: list[Path]) -> None:
        """A row of pictures, one for each column."""
        self._label(label, TILE)
        for column, path in enumerate(paths):
            with Image.open(path) as picture:
                tile = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)
            self.image.paste(tile, (self.left + column * (TILE + GAP), self.y))
        self.y += TILE + GAP

    def plot(self, label: str, curves: list[Curve], low: float, high: float) -> None:
        """One panel of curves over the same time axis."""
        self._panel(label, [(curve.name, curve.colour) for curve in curves])
        zero = self.y + PLOT - 8 - (0.0 - low) / (high - low) * (PLOT - 16)
        self.draw.line([(self.left, zero), (self.right, zero)], (58, 62, 72))
        xs = self.x(np.arange(len(self.tracks.expression)))
        for curve in curves:
            unit = np.clip((curve.values - low) / (high - low), 0, 1)
            ys = self.y + PLOT - 8 - unit * (PLOT - 16)
            points = [(x, y) for x, y in zip(xs, ys) if self.left <= x <= self.right]
            self.draw.line(points, curve.colour, 3, joint="curve")
        self.y += PLOT + GAP

    def wave(self, label: str, samples: Values) -> None:
        """The voice's peaks, one bar for every second pixel."""
        self._panel(label, [])
        times = np.arange(self.left, self.right, 2)
        fps = float(self.tracks.fps)
        at = self.x(np.array([0.0, 1.0]))
        seconds = (times - at[0]) / (at[1] - at[0]) / fps + self.tracks.start
        edges = np.clip(seconds * audio.SAMPLE_RATE, 0, len(samples)).astype(int)
        middle = self.y + PLOT / 2
        for x, first, last in zip(times[:-1], edges[:-1], edges[1:]):
            if last > first:
                peak = float(np.abs(samples[first:last]).max()) * (PLOT / 2 - 8)
                self.draw.line([(x, middle - peak), (x, middle + peak)], (120, 140, 170))
        self.y += PLOT + GAP

    def axis(self) -> None:
        """The seconds under the columns."""
        for index in self.columns:
            seconds = index / float(self.tracks.fps) + self.tracks.start
            self.write(float(self.x(index)), self.y, f"{seconds:.2f} s", 18, FAINT, "ma")

    def _panel(self, label: str, names: list[tuple[str, Colour]]) -> None:
        self._label(label, PLOT)
        self.draw.rounded_rectangle([self.left, self.y, self.right, self.y + PLOT], 8, PANEL)
        for index in self.columns:
            x = float(self.x(index))
            self.draw.line([(x, self.y), (x, self.y + PLOT)], (50, 54, 64))
        for row, (name, colour) in enumerate(names):
            self.write(MARGIN, self.y + 32 + row * 20, name, 15, colour)

    def _label(self, text: str, height: int) -> None:
        self.write(MARGIN, self.y + (height // 2 - 12 if height == TILE else 4), text, 19, TEXT)


def channel(tracks: FaceTracks, *names: str) -> Values:
    """(T,) the mean of some expression channels."""
    places = [tracks.expression_names.index(name) for name in names]
    return np.asarray(tracks.expression[:, places].mean(1), np.float64)


def draw(folder: Path) -> Image.Image:
    """The whole sheet."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    tracks = FaceTracks.load(folder / "tracks.npz")
    heads = sorted((folder / "heads").glob("*.png"))
    columns = [int(path.stem) for path in heads]
    sheet = Sheet(tracks, columns, rows=2, plots=5, typeface=job["font"])
    sheet.title(job["title"], job["detail"])
    frames = [folder / job["frames_folder"] / f"frame_{index + 1:06d}.png" for index in columns]
    sheet.pictures("photoreal head", frames)
    sheet.pictures("keyframed head", heads)
    sheet.wave("voice", audio.load(folder / job["voice_copy"]).astype(np.float64))
    emotions = [
        Curve(name, tracks.emotion[:, n].astype(np.float64), EMOTION_COLOURS[name])
        for n, name in enumerate(tracks.emotion_names)
        if tracks.emotion[:, n].max() > 0.02
    ]
    sheet.plot("emotion", emotions[:4], 0, 1)
    mouth = [
        Curve("jaw open", channel(tracks, "jawOpen"), LINES[0]),
        Curve("lips closed", channel(tracks, "mouthClose"), LINES[1]),
        Curve("pucker", channel(tracks, "mouthPucker"), LINES[3]),
    ]
    sheet.plot("mouth", mouth, 0, 1)
    mood = [
        Curve("smile", channel(tracks, "mouthSmileLeft", "mouthSmileRight"), LINES[0]),
        Curve("frown", channel(tracks, "mouthFrownLeft", "mouthFrownRight"), LINES[3]),
        Curve("inner brows", channel(tracks, "browInnerUp"), LINES[1]),
    ]
    sheet.plot("mood", mood, 0, 1)
    turn = np.degrees(tracks.head_rotation.astype(np.float64)) / 10
    head = [
        Curve("blink", tracks.blink.mean(1).astype(np.float64), LINES[1]),
        Curve("nod / 10\N{DEGREE SIGN}", turn[:, 0], LINES[2]),
        Curve("turn / 10\N{DEGREE SIGN}", turn[:, 1], LINES[3]),
    ]
    sheet.plot("head and eyes", head, -1, 1)
    sheet.axis()
    return sheet.image


def main(folder: Path) -> int:
    """Write ``sheet.png`` beside and rename it."""
    part = folder / "sheet.png.part"
    draw(folder).save(part, "PNG", optimize=True)
    os.replace(part, folder / "sheet.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
