# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheets of mouths and emotions: what the shipped network does at named instants of voices.

Run by the engine's Python from the repository's root, before and after ``faces_scene.py``:
``python -m demo.faces pick FOLDER`` writes ``faces.json``, the poses to render; ``python -m
demo.faces draw FOLDER`` makes ``mouths.jpg`` and ``emotions.jpg`` of the renders.

- Mouths: each kind of sound in the middle of its longest occurrence, p, b and m where the lips come
  nearest within it. When the sounds of these voices are said is known from their synthesis; the
  network hears the voice alone.
- Emotions: the same instant of the same line, the widest opening of neutral speech, under each
  emotion at three strengths.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from core.arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES
from core.audio import load
from core.lips import LipMap
from core.models.expression import ExpressionModel, coefficient_count
from core.mouth import RATE
from core.phones import BILABIAL

from .sheet import BACK, FAINT, GAP, MARGIN, TEXT

Array = npt.NDArray[np.float32]

HERE = Path(__file__).parent
VOICES = {
    "slt": "English, a woman",
    "awb": "Scottish English, a man; not trained on",
    "it": "Italian, a machine's man; not trained on",
}
SOUNDS = {"p": ("P",), "b": ("B",), "m": ("M",), "a": ("AA", "AE"), "o": ("AO",), "u": ("UW", "UH"),
          "f": ("F",), "v": ("V",), "sh": ("SH",)}  # fmt: skip
STRENGTHS = (0.3, 0.6, 1.0)
SEED = 7
QUALITY = 82
HEADER, HEADING = 92, 30


def frame(phones: list[tuple[str, float, float]], kinds: tuple[str, ...], gap: Array) -> int:
    """Frame of the longest sound of these kinds: its middle, or a closure's narrowest; ``gap`` (T,)."""
    kind, start, end = max((p for p in phones if p[0] in kinds), key=lambda p: p[2] - p[1])
    if kind not in BILABIAL:
        return round((start + end) / 2 * RATE)
    first, last = round(start * RATE), round(end * RATE)
    return first + int(np.argmin(gap[first : last + 1]))


def mouths(model: ExpressionModel) -> list[dict[str, Any]]:
    """A tile for each voice and sound."""
    tiles = []
    for voice in VOICES:
        phones = json.loads((HERE / "voices" / f"{voice}.json").read_text("utf-8"))
        found = model.predict(load(HERE / "voices" / f"{voice}.flac"), seed=SEED).expression
        for sound, kinds in SOUNDS.items():
            at = frame(phones, kinds, found @ LipMap.from_head().gap)
            tiles.append(_tile(found[at], f"{sound}  {at / RATE:.2f} s", close=True))
    return tiles


def emotions(model: ExpressionModel) -> list[dict[str, Any]]:
    """A tile for each strength and emotion."""
    samples = load(HERE / "voice.wav")
    count = coefficient_count(len(samples))
    spoken = model.predict(samples, seed=SEED)
    at = int(np.argmax(spoken.speech @ LipMap.from_head().gap))
    tiles = []
    for strength in STRENGTHS:
        for index, name in enumerate(EMOTIONS):
            weights = np.zeros((count, len(EMOTIONS)), np.float32)
            weights[:, index] = strength
            face = model.predict(samples, weights, seed=SEED).expression[at]
            tiles.append(_tile(face, f"{name} {strength:g}", close=False))
    return tiles


def _tile(face: Array, label: str, close: bool) -> dict[str, Any]:
    weights = np.zeros(len(ARKIT_NAMES))
    weights[[ARKIT_NAMES.index(name) for name in EXPRESSION_NAMES]] = face
    return {"label": label, "close": close, "weights": weights.round(5).tolist()}


def pick(folder: Path) -> None:
    """Write what is to be rendered."""
    model = ExpressionModel.load()
    tiles = [*mouths(model), *emotions(model)]
    (folder / "faces.json").write_text(json.dumps(tiles), "utf-8")


def draw(folder: Path) -> None:
    """Lay the renders out."""
    tiles = json.loads((folder / "faces.json").read_text("utf-8"))
    letters = ImageFont.truetype((folder / "font.txt").read_text("utf-8"))
    pictures = [folder / "faces" / f"{n:04}.png" for n in range(len(tiles))]
    first = len(VOICES) * len(SOUNDS)
    labels = [str(t["label"]) for t in tiles]
    _sheet("Mouths", "of three synthetic voices, in the middle of each sound's longest occurrence; of p, b and m, where the lips come nearest",
           list(VOICES.values()), labels[:first], pictures[:first], letters).save(
        folder / "mouths.jpg", quality=QUALITY, optimize=True)  # fmt: skip
    _sheet("Emotions", "at 0.3, 0.6 and 1 of their strength, at the same instant of the same line",
           [], labels[first:], pictures[first:], letters).save(
        folder / "emotions.jpg", quality=QUALITY, optimize=True)  # fmt: skip


def _sheet(
    title: str,
    detail: str,
    rows: list[str],
    labels: list[str],
    pictures: list[Path],
    letters: ImageFont.FreeTypeFont,
) -> Image.Image:
    """Pictures in rows; the rows have headings or there are three of them."""
    lines = len(rows) or len(STRENGTHS)
    columns = len(pictures) // lines
    with Image.open(pictures[0]) as one:
        size = one.width
    heading = HEADING if rows else 0
    width = 2 * MARGIN + columns * (size + GAP) - GAP
    height = 2 * MARGIN + HEADER + lines * (size + GAP + heading) - GAP
    sheet = Image.new("RGB", (width, height), BACK)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, TEXT, letters.font_variant(size=36))
    pen.text((MARGIN, MARGIN + 50), detail, FAINT, letters.font_variant(size=18))
    for n, (label, path) in enumerate(zip(labels, pictures)):
        line, column = divmod(n, columns)
        x, y = MARGIN + column * (size + GAP), MARGIN + HEADER + line * (size + GAP + heading)
        if rows and not column:
            pen.text((x, y), rows[line], TEXT, letters.font_variant(size=18))
        with Image.open(path) as picture:
            sheet.paste(picture.convert("RGB"), (x, y + heading))
        pen.text((x + 8, y + heading + 6), label, TEXT, letters.font_variant(size=17))
    return sheet


def main(task: str, folder: str) -> int:
    """Do one of the two tasks."""
    {"pick": pick, "draw": draw}[task](Path(folder))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.exit(main(*sys.argv[1:]))
