# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheets of faces: which instants they show, and that their pictures are laid out."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFont

from core.arkit import ARKIT_NAMES, EMOTIONS
from core.audio import SAMPLE_RATE, load
from core.models.expression import tiny_expression_model
from core.phones import KINDS
from demo import faces


def test_the_longest_sound_is_shown_and_a_closure_at_its_narrowest():
    phones = [("P", 0.0, 0.1), ("AA", 0.1, 0.2), ("P", 0.5, 0.7), ("AE", 0.7, 1.0)]
    gap = np.ones(60)
    gap[[2, 27, 40]] = 0.1, 0.2, 0.0
    assert faces.frame(phones, ("P",), gap) == 27
    assert faces.frame(phones, ("AA", "AE"), gap) == round(0.85 * 50)


@pytest.mark.parametrize("voice", faces.VOICES)
def test_every_voice_says_every_sound(voice):
    samples = load(faces.HERE / "voices" / f"{voice}.flac")
    phones = json.loads((faces.HERE / "voices" / f"{voice}.json").read_text("utf-8"))
    assert {kind for kind, *_ in phones} <= set(KINDS)
    assert phones[-1][2] <= len(samples) / SAMPLE_RATE + 0.05
    for kinds in faces.SOUNDS.values():
        gap = np.zeros(len(samples) // (SAMPLE_RATE // 50) + 1)
        assert 0 < faces.frame(phones, kinds, gap) < len(gap)


def test_sheets_of_any_network_have_all_their_tiles(tmp_path):
    model = tiny_expression_model()
    tiles = [*faces.mouths(model), *faces.emotions(model)]
    assert len(tiles) == 3 * len(faces.SOUNDS) + 3 * len(EMOTIONS)
    assert [t["label"] for t in tiles][-8:] == [f"{name} 1" for name in EMOTIONS]
    weights = np.array([t["weights"] for t in tiles])
    assert weights.shape[1] == len(ARKIT_NAMES)
    assert 0 <= weights.min() < weights.max() <= 1
    pictures = []
    for n in range(27):
        pictures.append(tmp_path / f"{n}.png")
        Image.new("RGB", (40, 40), (n, 0, 200)).save(pictures[-1])
    sheet = faces._sheet("Title", "detail", ["a", "b", "c"], ["x"] * 27, pictures, ImageFont.load_default(16))
    assert sheet.width == 2 * faces.MARGIN + 9 * 50 - 10
    colours = {c for _, c in sheet.getcolors(1 << 20)}
    assert {(n, 0, 200) for n in range(27)} <= colours
