# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from core.png import pack


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (33, 50)])
def test_another_reader_sees_the_same_pixels(
    channels: int, mode: str, shape: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, channels)).astype(np.uint8)
    picture = Image.open(BytesIO(pack(pixels)))
    picture.load()
    assert picture.mode == mode
    assert np.array_equal(np.asarray(picture).reshape(pixels.shape), pixels)


def test_smooth_pictures_become_small() -> None:
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    pixels = np.broadcast_to(ramp[:, None, None], (256, 256, 3))
    assert len(pack(pixels)) < pixels.size / 50
    assert pack(pixels) == pack(pixels)
