# SPDX-License-Identifier: GPL-3.0-or-later
"""Films as they are meant to be seen; what reads files needs the tracker's environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.tracking.pictures import HLG, PQ, to_srgb
from core.tracking.tracker import tracker_python

ROOT = Path(__file__).resolve().parents[2]


def grey(signal: float) -> np.ndarray:
    """(1, 1, 3) Y', Cb, Cr of BT.2020, narrow range, 16 bits."""
    return np.array([[[(16 + 219 * signal) * 256, 128 * 256, 128 * 256]]]).round().astype(np.uint16)


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_grey_stays_grey_and_rises(curve: int) -> None:
    steps = [to_srgb(grey(signal), curve)[0, 0].astype(int) for signal in np.linspace(0, 1, 20)]
    assert max(np.ptp(step) for step in steps) <= 1
    assert (np.diff([step[1] for step in steps]) >= 0).all()
    assert steps[0].max() == 0
    assert 240 <= steps[-1].min() <= 255


def test_diffuse_white_is_the_same_in_both_curves() -> None:
    # ITU-R BT.2408, table 1: 75 % of HLG, 58 % of PQ.
    hlg, pq = (int(to_srgb(grey(s), c)[0, 0, 1]) for s, c in ((0.75, HLG), (0.58, PQ)))
    assert abs(hlg - pq) <= 2
    assert 230 <= hlg <= 250


def test_mid_grey_of_both_curves() -> None:
    # BT.2408, table 1: a grey card of 26 cd/m2 is at 38 % of either; against white of 203, sRGB's 100.
    for curve in (HLG, PQ):
        assert abs(int(to_srgb(grey(0.38), curve)[0, 0, 1]) - 100) <= 3


SCRIPT = """
import json, sys
from fractions import Fraction
from pathlib import Path
import av, numpy as np
from core.footage.scan import scan
from core.errors import UserError
from core.tracking.pictures import PQ, opened, to_srgb

folder = Path(sys.argv[1])
size = 96


def noise(name, codec, aspect):
    # A film of high dynamic range whose rows end within a vector; what is seen in it, read again and again.
    random = np.random.default_rng(0)
    with av.open(str(folder / name), "w") as film:
        stream = film.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 72, size, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.sample_aspect_ratio = PQ, aspect
        for index in range(12):
            picture = av.VideoFrame(72, size, "yuv420p10le")
            picture.pts = index
            for plane in picture.planes:
                values = random.integers(200, 800, (plane.height, plane.line_size // 2))
                plane.update(values.astype(np.uint16).tobytes())
            film.mux(stream.encode(picture))
        film.mux(stream.encode())
    seen = []
    for _ in range(12):
        with opened(folder / name) as reel:
            seen.append(np.array([image for image, _ in reel]))
            assert reel.curve == PQ
    return seen


def aligned(picture):
    # The same picture by filters, whose rows have room at their ends.
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 25)),
        graph.add("scale", "flags=bilinear"), graph.add("format", "yuv444p16le"), graph.add("buffersink"),
    ).configure()
    graph.vpush(picture)
    return to_srgb(graph.vpull().to_ndarray(), PQ)


def write(name, count, draw, codec="mpeg4", form="yuv420p", options=None, stamps=None):
    with av.open(str(folder / name), "w") as film:
        stream = film.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 2 * size, size, form
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            picture.pts = stamps[index] if stamps else index
            if stamps:
                picture.time_base = Fraction(1, 1000)
            for packet in stream.encode(picture):
                film.mux(packet)
        for packet in stream.encode():
            film.mux(packet)
    return folder / name


def bar(index):
    image = np.full((size, 2 * size, 3), 40, np.uint8)
    image[:, 4 * index + 10 : 4 * index + 30] = 220
    return image


def fields(index):
    odd = (np.arange(size) % 2 == 1)[:, None, None]
    return np.where(odd, bar(2 * index + 1), bar(2 * index))


said = {}
with opened(write("woven.mp4", 12, fields, options={"flags": "+ilme+ildct", "b": "4000000"})) as reel:
    images = [image for image, _ in reel]
    comb = np.abs(np.diff(images[5].astype(int), axis=0)).mean() / np.abs(np.diff(fields(5).astype(int), axis=0)).mean()
    said["woven"] = [reel.interlaced, len(images), float(comb)]
with opened(write("whole.mp4", 12, bar)) as reel:
    said["whole"] = [list(reel)[0][0].shape, reel.interlaced]
stamps = [0, 40, 80, 160, 200, 320]
with opened(write("uneven.mkv", 6, bar, "ffv1", "yuv444p", stamps=stamps)) as reel:
    said["times"] = [round(1000 * at) for _, at in reel]
for name, codec, aspect in (("bright.mkv", "ffv1", 1), ("wide.mkv", "libx264", Fraction(10, 9))):
    seen = noise(name, codec, aspect)
    said[name] = [seen[0].shape, len({images.tobytes() for images in seen})]
    if aspect == 1:
        with av.open(str(folder / name)) as film:
            apart = seen[0].astype(int) - [aligned(picture) for picture in film.decode(video=0)]
            said["apart"] = int(np.abs(apart).max())
nobody = scan(str(write("nobody.mp4", 6, bar)), lambda done, total: None)
said["nobody"] = [bool(np.isnan(nobody["points"]).all()), nobody["faces"].tolist(), len(nobody["change"])]
(folder / "junk.mp4").write_bytes(b"no film" * 100)
try:
    scan(str(folder / "junk.mp4"), lambda done, total: None)
except UserError as error:
    said["junk"] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the tracker's environment finds in films that it makes."""
    try:
        python = tracker_python()
    except UserError:
        pytest.skip("the face tracker is not set up")
    folder = tmp_path_factory.mktemp("films")
    quiet = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [str(python), "-c", SCRIPT, str(folder)], env=quiet, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found: dict[str, object] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_fields_are_woven(said: dict[str, object]) -> None:
    interlaced, count, comb = said["woven"]  # type: ignore[misc]
    assert interlaced
    assert count == 12
    assert comb < 0.4
    assert said["whole"] == [[96, 192, 3], False]


def test_pictures_keep_their_own_times(said: dict[str, object]) -> None:
    assert said["times"] == [0, 40, 80, 160, 200, 320]


def test_pictures_are_the_same_each_time(said: dict[str, object]) -> None:
    assert said["bright.mkv"] == [[12, 96, 72, 3], 1]
    assert said["wide.mkv"] == [[12, 96, 80, 3], 1]
    assert said["apart"] == 0


def test_a_film_of_nobody_is_scanned(said: dict[str, object]) -> None:
    assert said["nobody"] == [True, [0] * 6, 6]


def test_junk_is_refused_in_one_line(said: dict[str, object]) -> None:
    assert "is no film that can be read" in str(said["junk"])
