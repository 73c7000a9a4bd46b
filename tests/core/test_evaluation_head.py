# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of avatars: known pictures, points and tracks give known figures."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from scipy.ndimage import gaussian_filter

from core.arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES
from core.avatars import AvatarCard, load, save_avatar
from core.bench import synthetic_voice, write_wav
from core.errors import ExitCode, UserError
from core.evaluation import table
from core.evaluation.head import character, command, driven, figures, mouth, pictures, sheets
from core.evaluation.head.frames import Maker, Nearest, held_out
from core.models.head import tiny_head_network
from core.raster import Camera
from core.render import Rows as TrackRows
from core.toy_head import write_toy_head
from core.tracks import FaceTracks
from core.training.head_data import RenderSet, SetInfo, load_set, write_design
from core.training.head_poses import PoseDesign, design_poses

SIZE = 32
JAW = ARKIT_NAMES.index("jawOpen")


@pytest.fixture(scope="module")
def avatar(tmp_path_factory):
    place = tmp_path_factory.mktemp("avatär")
    write_toy_head(place / "head.npz")
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    save_avatar(place / "toy", card, Camera(), tiny_head_network(), place / "head.npz")
    return load(place / "toy")


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def footage(tmp_path):
    """Two films of eight frames each; the second is held out. The frames' jaw opens with time."""
    folder = tmp_path / "set of fílms"
    write_design(folder, "toy", SIZE, PoseDesign(count=16), Camera())
    said = json.loads((folder / "set.json").read_text("utf-8"))
    films = [str(tmp_path / "gone" / "one.mpg"), str(tmp_path / "gone" / "two.mpg")]
    said |= {"held_out": list(range(9, 17)), "films": films}
    (folder / "set.json").write_text(json.dumps(said), "utf-8")
    rows = design_poses(PoseDesign(count=16))
    time = np.tile(np.arange(8) / 25, 2)
    rows["arkit"][:, JAW] = time
    rows |= {"film": np.repeat([0, 1], 8), "time": time, "picture": np.tile(np.arange(8), 2),
             "crop": np.tile([10, 20, SIZE, SIZE], (16, 1))}  # fmt: skip
    np.savez(folder / "params.npz", **rows)
    write_toy_head(folder / "proxy.npz")
    (folder / "frames").mkdir()
    for number, frame in enumerate(frames(16), 1):
        Image.fromarray(frame).save(folder / "frames" / f"{number:06d}.png")
    return folder


# ---- pictures


def test_psnr_by_hand():
    a = torch.zeros(1, 3, 4, 4)
    b = a + 0.1
    assert float(pictures.psnr(a, b)) == pytest.approx(20, abs=1e-4)
    b[..., 2:] = 0
    where = torch.zeros(1, 1, 4, 4)
    where[..., :2] = 1
    assert float(pictures.psnr(a, b, where)) == pytest.approx(20, abs=1e-4)
    assert float(pictures.psnr(a, b)) == pytest.approx(20 + 10 * math.log10(2), abs=1e-4)


def test_ssim_is_wangs():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 3, 24, 30))
    b = 0.7 * a + 0.3 * b

    def mean(x):
        return gaussian_filter(x, 1.5, truncate=3.5)  # 11 pixels

    wanted = []
    for x, y in zip(a, b):
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        s = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
        wanted.append(s[5:-5, 5:-5].mean())
    found = pictures.ssim(*(torch.from_numpy(x)[None] for x in (a, b)))
    assert float(found) == pytest.approx(np.mean(wanted), abs=1e-9)


def test_ssim_of_plain_grey():
    a, b = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.25)
    assert float(pictures.ssim(a, a)) == pytest.approx(1, abs=1e-6)
    assert float(pictures.ssim(a, b)) == pytest.approx((0.25 + 1e-4) / (0.3125 + 1e-4), abs=1e-4)


def test_laplacian_energy_of_a_point():
    rgb = torch.zeros(2, 3, 12, 12)
    rgb[1, :, 6, 6] = 0.5
    energy = pictures.laplacian_energy(rgb)
    assert energy.tolist() == pytest.approx([0, 20 * 0.25 / 100])


def test_still_is_where_nothing_moves_but_noise():
    generator = torch.Generator().manual_seed(0)
    before = torch.full((1, 3, 64, 64), 0.5)
    noise = 2 / 255 * torch.randn(before.shape, generator=generator)
    after = before + noise
    assert pictures.still(before, after).float().mean() > 0.99
    after[..., 40:, :] += 0.1
    where = pictures.still(before, after)[0, 0]
    assert where.shape == (64, 64)
    assert where[:32].all()
    assert not where[44:].any()


def test_flicker_of_a_known_one():
    """The truth changes by 1/255 where it is still, what was made by twice that: four times the energy."""
    truth = torch.full((4, 3, SIZE, SIZE), 0.5)
    truth[1::2] += 1 / 255
    truth[:, :, :8] = torch.linspace(0, 1, 4).view(4, 1, 1, 1)  # moves, and does not count
    made = truth.clone()
    made[1::2, :, 8:] += 1 / 255
    made[:, :, :4] = 0
    sums = figures._Sums()
    sums.add_pairs(truth, made, torch.tensor([True, True, True]))
    assert sums.moving[1] / sums.moving[0] == pytest.approx(4, rel=1e-4)
    assert 0.5 < sums.still / sums.pairs < 0.75
    before = list(sums.moving)
    sums.add_pairs(truth, made, torch.tensor([False, False, False]))
    assert (sums.moving, sums.pairs) == (before, 3)


# ---- frames


def test_frames_follow_each_other_within_a_film(footage):
    data = load_set(footage)
    assert figures.follows(data, [7, 8, 9, 10]).tolist() == [True, False, True]
    assert figures.follows(data, [9, 11]).tolist() == [False], "one is lost between them"
    assert held_out(data, None) == list(range(9, 17))
    assert held_out(data, 3) == [9, 13, 16]  # spread over all


def test_a_characters_frames_do_not_follow_each_other(tmp_path):
    data = RenderSet(tmp_path, SetInfo("x", SIZE, Camera(), ()), {}, ())
    assert figures.follows(data, [1, 2, 3]).tolist() == [False, False]
    with pytest.raises(UserError, match="no held-out frames"):
        held_out(data, None)


def test_the_nearest_frame_is_the_same_face(avatar, tmp_path):
    params = design_poses(PoseDesign(count=12))
    for values in params.values():
        values[8:] = values[:4]
    params["head_rotation"][8:] += 0.002
    data = RenderSet(tmp_path, SetInfo("x", SIZE, Camera(), ()), params, tuple(range(1, 13)))
    nearest = Nearest(Maker(avatar), data, list(range(1, 9)))
    assert nearest.numbers([9, 10, 11, 12]) == [1, 2, 3, 4]


def test_the_mouths_region_goes_with_the_head(avatar):
    maker = Maker(avatar)
    rows = design_poses(PoseDesign(count=2))
    for name in ("arkit", "gaze", "head_rotation", "head_translation"):
        rows[name][:] = 0
    rows["head_translation"][1, 0] = 0.05
    region = maker.mouth(rows)[:, 0]
    focal = Camera().focal(SIZE) / (Camera().position[2] - 0.09)
    assert float(region[0].sum()) == pytest.approx(math.pi * (0.036 * focal) ** 2, rel=0.1)
    columns = [float((r.sum(0) * (torch.arange(SIZE) + 0.5)).sum() / r.sum()) for r in region]
    assert columns[1] - columns[0] == pytest.approx(0.05 * focal, abs=0.6)
    assert columns[0] == pytest.approx(SIZE / 2, abs=0.6)


def test_frames_of_another_size_are_refused(avatar, tmp_path):
    data = RenderSet(tmp_path, SetInfo("x", 64, Camera(), ()), {}, ())
    with pytest.raises(UserError, match="32 pixels"):
        figures.evaluate(avatar, data)


def test_perfect_frames_have_perfect_figures(avatar, footage):
    """The truth is what the avatar makes, so nothing is amiss."""
    data = load_set(footage)
    made = Maker(avatar).make(data.params)
    for number, frame in enumerate(made, 1):
        Image.fromarray(frame).save(footage / "frames" / f"{number:06d}.png")
    seen = []
    found, truth, shown = figures.evaluate(avatar, data, watch=lambda *pair: seen.append(pair))
    assert found.frames == len(truth) == len(shown) == 8
    assert (truth == shown).all()
    assert found.psnr == found.mouth_psnr == pytest.approx(100)
    assert found.ssim == pytest.approx(1)
    assert found.sharpness == pytest.approx(1)
    assert found.baseline_psnr < 50
    assert sum(len(a) for a, _ in seen) == 8


# ---- the mouth


def test_distances_of_lips():
    truth = np.random.default_rng(0).uniform(0, 99, (5, 40, 2))
    made = truth + (3, 4)
    found = mouth.distance(truth, made)
    assert found.placed == pytest.approx(5)
    assert found.shape == pytest.approx(0, abs=1e-9)
    assert found.lost == 0
    wider = truth.mean(1, keepdims=True) + 1.1 * (truth - truth.mean(1, keepdims=True))
    spread = np.linalg.norm(truth - truth.mean(1, keepdims=True), axis=2)
    assert mouth.distance(truth, wider).shape == pytest.approx(0.1 * spread.mean())
    made[1:3] = np.nan
    truth[2:4] = np.nan
    assert mouth.distance(truth, made) == (pytest.approx(5), pytest.approx(0, abs=1e-9), 3)
    nothing = mouth.distance(truth, np.full_like(made, np.nan))
    assert math.isnan(nothing.placed)
    assert nothing.lost == 5


def test_the_tracker_gets_the_frames_as_they_are(tmp_path, monkeypatch):
    given = frames(3)
    points = np.arange(3 * 478 * 3).reshape(3, 478, 3)

    def watched(path, progress):
        head, *rest = path.read_bytes().split(b"FRAME\n")
        assert head == b"YUV4MPEG2 W32 H32 F25:1 Ip A1:1 C444 XCOLORRANGE=FULL\n"
        seen = b"".join(rest)
        assert len(seen) == given.size
        planes = np.frombuffer(seen, np.uint8).reshape(3, 3, SIZE, SIZE)
        for frame, ycc in zip(given, planes):
            back = Image.merge("YCbCr", [Image.fromarray(p) for p in ycc]).convert("RGB")
            assert np.abs(np.asarray(back).astype(int) - frame).max() <= 3
        return {"points": points}

    monkeypatch.setattr(mouth, "film_points", watched)
    # Bytes of a frame could spell the separator; these do not.
    film = mouth.Film(tmp_path / "film.y4m", SIZE)
    film.add(given[:1])
    film.add(given[1:])
    lips = film.lips(lambda *step: None)
    assert lips.shape == (3, 40, 2)
    np.testing.assert_array_equal(lips[2, 0], points[2, 0, :2])
    assert not list(tmp_path.iterdir())


# ---- driven by sound


def ramp(path):
    """A face whose jaw opens with the clock, from 0.1 s before the first picture."""
    times = np.arange(40) / 50 - 0.1
    expression = np.zeros((40, 42), np.float32)
    expression[:, EXPRESSION_NAMES.index("jawOpen")] = 1 + times
    still = np.zeros((40, 3), np.float32)
    return FaceTracks(Fraction(50), expression, np.zeros((40, 2)), np.zeros((40, 2, 2)), still, still,
                      np.tile(np.eye(1, 8), (40, 1)), start=-0.1)  # fmt: skip


def test_the_sound_moves_the_face_and_the_film_the_rest(footage, tmp_path):
    data = load_set(footage)
    numbers = list(range(6, 12))
    heard = []
    folder = tmp_path / "moved"
    folder.mkdir()
    for name in ("one.mpg", "two.mpg"):
        (folder / name).touch()
    rows = driven.by_sound(data, numbers, folder, lambda path: heard.append(path.name) or ramp(path))
    assert heard == ["one.mpg", "two.mpg"]
    np.testing.assert_allclose(rows["arkit"][:, JAW], 1 + rows["time"], atol=1e-6)
    eyes = [i for i, n in enumerate(ARKIT_NAMES) if n not in EXPRESSION_NAMES]
    np.testing.assert_array_equal(rows["arkit"][:, eyes], data.rows(numbers)["arkit"][:, eyes])
    rest = [i for i, n in enumerate(ARKIT_NAMES) if n in EXPRESSION_NAMES and i != JAW]
    assert not rows["arkit"][:, rest].any()
    np.testing.assert_array_equal(rows["head_rotation"], data.rows(numbers)["head_rotation"])
    with pytest.raises(UserError, match=r"one\.mpg.*--films"):
        driven.by_sound(data, numbers, None, ramp)


def test_the_mean_mouth_is_that_of_the_training(footage):
    rows = driven.by_nothing(load_set(footage), [9, 10])
    assert rows["arkit"][:, JAW] == pytest.approx(np.full(2, np.arange(8).mean() / 25))


# ---- a character


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:03.03", 3.03), ("01:02:03.50", 3723.5), ("02:00.00", 120), ("", None), ("soon", None)],
)
def test_blenders_clock(text, seconds):
    found = character.clock_seconds(text)
    assert math.isnan(found) if seconds is None else found == pytest.approx(seconds)


def test_the_renderers_time_is_in_its_frames_or_in_the_set(footage):
    data = load_set(footage)
    for number, seconds in ((1, "00:02.00"), (2, "00:04.00")):
        said = PngImagePlugin.PngInfo()
        said.add_text("RenderTime", seconds)
        said.add_text("cycles.ViewLayer.samples", "32")
        Image.fromarray(frames(1)[0]).save(footage / "frames" / f"{number:06d}.png", pnginfo=said)
    assert character.renderer_seconds(data, [1, 2]) == (3.0, "Cycles, 32 samples a pixel")
    seconds, note = character.renderer_seconds(data, [3])
    assert math.isnan(seconds)
    assert note == ""
    said = json.loads((footage / "set.json").read_text("utf-8"))
    said |= {"render_seconds": 5.5, "renderer": "Cycles, 20 samples a pixel"}
    (footage / "set.json").write_text(json.dumps(said), "utf-8")
    assert character.renderer_seconds(data, [1, 2]) == (5.5, "Cycles, 20 samples a pixel")


def test_tracks_show_what_the_rows_show():
    rows = design_poses(PoseDesign(count=30))
    back = TrackRows.of(character.tracks_of(rows))
    np.testing.assert_allclose(back.weights, rows["arkit"], atol=1e-6)
    np.testing.assert_array_equal(back.emotion, rows["emotion"])
    again = character.rows_of(character.tracks_of(rows), np.array([3, 5]))
    np.testing.assert_allclose(again["arkit"], rows["arkit"][[3, 5]], atol=1e-6)
    assert again.keys() == rows.keys()


def test_the_pace_is_that_of_core_render(avatar):
    pace = character.pace(avatar, design_poses(PoseDesign(count=4)))
    assert pace.wall > 0
    assert pace.processor > 0
    assert math.isnan(character.pace(avatar, design_poses(PoseDesign(count=1))).wall)


def test_loud_moments_are_where_it_is_loud(tmp_path):
    samples = 0.01 * np.ones(5 * 16000, np.float32)
    for second in (0.52, 1.2, 2.8, 3.4, 4.6):
        samples[round(second * 16000) :][:640] = 0.5
    write_wav(tmp_path / "voice.wav", samples)
    assert character.loud_moments(tmp_path / "voice.wav") == pytest.approx([0.52, 1.2, 2.8, 3.4, 4.6])


def test_the_least_apart():
    faces = np.zeros((8, 2, 4, 4, 3), np.uint8)
    faces += (10 * np.arange(8) ** 2).astype(np.uint8)[:, None, None, None, None]
    assert character.least_apart(faces) == (pytest.approx(10), f"{EMOTIONS[0]} and {EMOTIONS[1]}")


def test_emotions_are_drawn_apart(avatar, tmp_path, tiny_weights, monkeypatch):
    monkeypatch.setattr("core.pipeline.WEIGHTS", tiny_weights)
    write_wav(tmp_path / "voice.wav", synthetic_voice(2.0))
    faces, apart, pair = character.emotion_frames(avatar, tmp_path / "voice.wav")
    assert faces.shape == (8, 5, SIZE, SIZE, 3)
    assert apart > 0
    assert " and " in pair
    file = tmp_path / "sheet.png"
    file.write_bytes(sheets.named_sheet(faces, EMOTIONS))
    with Image.open(file) as page:
        assert page.height == 8 * SIZE
        margin = page.width - 5 * SIZE
        pixels = np.asarray(page)
    assert margin > 0
    np.testing.assert_array_equal(pixels[SIZE : 2 * SIZE, -SIZE:], faces[1, 4])
    for line in range(8):
        assert pixels[line * SIZE : (line + 1) * SIZE, :margin].min() < 100, "a name stands there"


# ---- the command


def test_targets_of_a_person_and_of_a_character():
    found = figures.HeadFigures(8, 33.0, 31.5, 0.95, 0.9, 1.2, 0.5, 29.0)
    person = {r.figure: r for r in figures.picture_rows(found, footage=True)}
    judged = {name: r.target.met(r.value) for name, r in person.items() if r.target}
    assert judged == {"PSNR, dB": True, "PSNR over the nearest training frame's, dB": True, "SSIM": True,
                      "PSNR of the mouth's region, dB": True, "sharpness ratio": True,
                      "flicker ratio": False}  # fmt: skip
    made_up = figures.picture_rows(found, footage=False)
    assert [r.figure for r in made_up if r.target] == ["PSNR, dB"]
    assert "| SSIM | 0.950 | >= 0.93 |" in figures.table(found, footage=True).split("\n")


def test_footage_end_to_end(avatar, footage, tmp_path, monkeypatch, capsys):
    """Tracker and voice are made up: lips 1, 2 and 4 px off by film, by sound, by nothing."""
    off = {"truth.y4m": [0], "made.y4m": [1], "driven.y4m": [2, 4]}

    def watched(path, progress):
        count = path.read_bytes().count(b"FRAME\n")
        return {"points": np.full((count, 478, 3), off[path.name].pop(0) / math.sqrt(2))}

    monkeypatch.setattr(mouth, "film_points", watched)
    monkeypatch.setattr(command, "tracker_python", lambda: "python")
    monkeypatch.setattr(driven, "animated", ramp)
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "two.mpg").touch()
    words = ["--avatar", str(avatar.folder), "--renders", str(footage), "--json", str(tmp_path / "f.json"),
             "--sheet", str(tmp_path / "s.png")]  # fmt: skip
    assert command.main(words) == 0
    rows = {r["figure"]: r for r in json.loads((tmp_path / "f.json").read_text("utf-8"))}
    assert rows["driven by the film's tracks"]["value"] == pytest.approx(1)
    assert rows["driven by the clip's sound"]["value"] == pytest.approx(2)
    assert rows["driven by the clip's sound"]["met"]
    assert rows["the mean mouth"]["value"] == pytest.approx(4)
    assert rows["flicker ratio"]["value"] < 0.1, "the truth is noise, what is made is steady"
    assert "0 of the 1 clips" in rows["driven by the clip's sound"]["note"]
    with Image.open(tmp_path / "s.png") as page:
        assert page.size == (8 * SIZE, 2 * SIZE)
    assert "MISSED" in capsys.readouterr().out


def test_what_is_asked_for_in_vain(avatar, footage, tmp_path, monkeypatch):
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path))
    words = ["--avatar", str(avatar.folder), "--renders", str(footage)]
    with pytest.raises(UserError, match="--voice"):
        command.main([*words, "--emotions", str(tmp_path / "e.png")])
    with pytest.raises(UserError, match="no folder"):
        command.main([*words, "--json", str(tmp_path / "nowhere" / "f.json")])
    with pytest.raises(UserError, match="no face tracker") as error:
        command.main(words)
    assert error.value.code == ExitCode.MISSING
    monkeypatch.setattr(command, "tracker_python", lambda: "python")
    with pytest.raises(UserError, match=r"two\.mpg.*--films"):
        command.main(words)
    said = json.loads((footage / "set.json").read_text("utf-8"))
    (footage / "set.json").write_text(json.dumps(said | {"films": said["films"][:1]}), "utf-8")
    with pytest.raises(UserError, match="film that set"):
        command.main(words)


def test_markdown_has_a_line_a_figure():
    rows = [table.Row("h", "a", 1.0, table.at_least(0.5), {"b": 2.0}), table.Row("h", "c", math.nan)]
    assert table.markdown(rows).split("\n")[2:] == ["| a; b 2.000 | 1.000 | >= 0.5 |", "| c | nan |  |"]
