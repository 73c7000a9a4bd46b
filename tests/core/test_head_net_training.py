# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.arkit import ARKIT_NAMES, EMOTIONS
from core.avatars import load
from core.conditioning import HeadRenderer
from core.errors import UserError
from core.evaluation.head import evaluate, sheet, table
from core.evaluation.head import main as evaluate_main
from core.models.head import TINY, tiny_head_network
from core.progress import silent
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training.head import STATE, HeadTraining, main, train
from core.training.head_cache import HeadCache, shuffled
from core.training.head_data import load_set, write_design
from core.training.head_looks import Looks
from core.training.head_loss import TERMS, LossWeights, grain, head_loss, structure
from core.training.head_poses import PoseDesign, design_poses

SIZE = 32


@pytest.fixture(scope="module")
def render_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy set: the toy head coloured by its normals, redder when angry."""
    folder = tmp_path_factory.mktemp("sät of frames")
    write_design(folder, "toy", SIZE, PoseDesign(count=32), Camera())
    write_toy_head(folder / "proxy.npz")
    (folder / "frames").mkdir()
    renderer = HeadRenderer(folder / "proxy.npz", Camera(), SIZE)
    with np.load(folder / "params.npz") as params:
        planes = renderer.render(
            params["arkit"], params["gaze"], params["head_rotation"], params["head_translation"]
        ).planes
        angry = torch.from_numpy(params["emotion"][:, 1]).view(-1, 1, 1, 1)
    rgb = 0.5 + 0.3 * planes[:, :3] + 0.2 * angry * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    for number, frame in enumerate(rgb.clamp(0, 1), 1):
        pixels = (frame.permute(1, 2, 0) * 255).byte().numpy()
        Image.fromarray(pixels).save(folder / "frames" / f"{number:06d}.png")
    return folder


def test_designed_poses_cover_what_tracks_do() -> None:
    rows = design_poses(PoseDesign(count=1000))
    arkit, emotion = rows["arkit"], rows["emotion"]
    assert arkit.shape == (1000, len(ARKIT_NAMES))
    assert arkit.min() >= 0
    assert arkit.max() <= 1
    assert (arkit.max(0) > 0.3).all(), "every shape is seen"
    np.testing.assert_allclose(emotion.sum(1), 1, atol=1e-5)
    assert ((emotion > 0.99).sum(0) > 15).all(), "every emotion is seen pure"
    blink = arkit[:, ARKIT_NAMES.index("eyeBlinkLeft")]
    assert (blink == 1).mean() > 0.1
    assert (blink < 0.2).mean() > 0.4
    jaw, close = (arkit[:, ARKIT_NAMES.index(n)] for n in ("jawOpen", "mouthClose"))
    assert (close <= jaw).all()
    assert np.abs(rows["gaze"]).max() > 0.25
    assert np.linalg.norm(rows["head_rotation"], axis=1).max() > 0.2


def test_a_longer_design_begins_with_the_shorter() -> None:
    short, long = (design_poses(PoseDesign(count=n)) for n in (20, 50))
    for name, values in short.items():
        assert np.array_equal(values, long[name][:20])
    assert not np.array_equal(short["arkit"], design_poses(PoseDesign(count=20, seed=1))["arkit"])
    assert len(EMOTIONS) == short["emotion"].shape[1]


def test_a_set_with_missing_frames_uses_the_rest(render_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(render_set, folder)
    for number in (3, 15, 30):
        (folder / "frames" / f"{number:06d}.png").unlink()
    training, held = load_set(folder).split()
    assert len(training) == 29
    assert held == []
    assert load_set(render_set).split()[1] == [15, 30]


@pytest.mark.parametrize("case", ["no set.json", "format", "rows", "size", "no proxy", "frame"])
def test_a_set_that_is_not_as_it_should_be(render_set: Path, tmp_path: Path, case: str) -> None:
    folder = tmp_path / "set"
    shutil.copytree(render_set, folder)
    said = json.loads((folder / "set.json").read_text("utf-8"))
    if case == "no set.json":
        (folder / "set.json").unlink()
    elif case == "format":
        (folder / "set.json").write_text(json.dumps({**said, "format": "other"}), "utf-8")
    elif case == "size":
        (folder / "set.json").write_text(json.dumps({**said, "size": 64}), "utf-8")
    elif case == "rows":
        rows = design_poses(PoseDesign(count=4)) | {"gaze": np.zeros((3, 2, 2))}
        np.savez(folder / "params.npz", **rows)
    elif case == "no proxy":
        (folder / "proxy.npz").unlink()
    else:
        (folder / "frames" / "000002.png").write_bytes(b"no picture")
    with pytest.raises(UserError) as error:
        load_set(folder).frames([1, 2])
    assert "\n" not in str(error.value)


def test_attention_is_on_mouth_and_eyes(render_set: Path) -> None:
    cache = HeadCache(load_set(render_set), [1, 2], TINY, silent)
    spots = cache.batch([0]).attention[0, 0]
    assert spots.max() > 0.9
    assert spots[:4].max() == spots[-4:].max() == 0
    assert 0.02 < float((spots > 0.5).float().mean()) < 0.3


def test_order_is_the_same_for_the_same_seed() -> None:
    assert shuffled(10, 0, 1) == shuffled(10, 0, 1)
    assert sorted(shuffled(10, 0, 2)) == list(range(10))
    assert shuffled(10, 0, 1) != shuffled(10, 1, 1)


def test_loss_is_nothing_for_the_truth_and_grows_at_the_features() -> None:
    truth = torch.rand(2, 3, SIZE, SIZE)
    spots = torch.zeros(2, 1, SIZE, SIZE)
    spots[:, :, 8:16, 8:16] = 1
    weights = LossWeights()
    assert float(head_loss(truth, truth, spots, weights)) == pytest.approx(0, abs=1e-5)
    near, far = truth.clone(), truth.clone()
    near[:, :, 10:14, 10:14] += 0.2
    far[:, :, 20:24, 20:24] += 0.2
    assert head_loss(near, truth, spots, weights) > 2 * head_loss(far, truth, spots, weights)


def test_loss_would_have_grain_somewhere_rather_than_nowhere() -> None:
    def grained(seed: int) -> torch.Tensor:
        return 0.5 + 0.2 * torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))

    assert grain(grained(1), grained(2), (1.0, 0.5)) < 0.3 * grain(torch.full((2, 3, SIZE, SIZE), 0.5), grained(2), (1.0, 0.5))
    assert grain(grained(1), grained(1), (1.0, 0.5)) == 0


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_left_out(term: str) -> None:
    whole, less = LossWeights(), LossWeights().without(term)
    assert not np.any(getattr(less, term))
    assert all(getattr(less, t) == getattr(whole, t) for t in TERMS if t != term)


def test_structure_is_one_for_equals_and_less_for_blur() -> None:
    a = torch.rand(1, 3, SIZE, SIZE)
    assert float(structure(a, a).mean()) == pytest.approx(1)
    blurred = torch.nn.functional.avg_pool2d(a, 3, stride=1, padding=1)
    assert float(structure(a, blurred).mean()) < 0.9


def test_training_resumed_is_training_at_one_go(render_set: Path, tmp_path: Path) -> None:
    data = load_set(render_set)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    plan = HeadTraining(steps=8, save_every=4, warm_up=2)
    expected = train(data, Looks.of(data), whole, plan, TINY).state_dict()

    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training" and done == 5:
            raise StopError

    with pytest.raises(StopError):
        train(data, Looks.of(data), parts, plan, TINY, progress=stop)
    assert (parts / STATE).is_file()
    resumed = train(data, Looks.of(data), parts, plan, TINY).state_dict()
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.parametrize("other", ["seed", "batch", "network", "start", "loss"])
def test_the_state_of_another_training_is_refused(render_set: Path, tmp_path: Path, other: str) -> None:
    data, plan = load_set(render_set), HeadTraining(steps=2, batch=2, save_every=2, warm_up=1)
    looks = Looks.of(data)
    train(data, looks, tmp_path, plan, TINY)
    state = (tmp_path / STATE).read_bytes()
    longer = train(data, looks, tmp_path, replace(plan, steps=3), TINY)
    assert not torch.equal(longer.texture, tiny_head_network().texture)
    (tmp_path / STATE).write_bytes(state)
    config = replace(TINY, style=6) if other == "network" else TINY
    start = tiny_head_network() if other == "start" else None
    plan = {"seed": replace(plan, seed=1), "batch": replace(plan, batch=4),
            "loss": replace(plan, losses=plan.losses.without("grain"))}.get(other, plan)  # fmt: skip
    with pytest.raises(UserError, match="another training"):
        train(data, looks, tmp_path, plan, config, start)
    assert (tmp_path / STATE).read_bytes() == state


def test_from_set_to_measured_avatar(
    render_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("core.training.head_looks.HeadConfig", lambda **sizes: TINY)
    folder = tmp_path / "toy"
    assert main(["--renders", str(render_set), "--out", str(folder), "--steps", "60",
                 "--work", str(tmp_path / "work")]) == 0  # fmt: skip
    avatar = load(folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "avatar.toml", "card.md", "head.safetensors", "proxy.npz", "sheet.png",
    ]  # fmt: skip
    figures, truth, made = evaluate(avatar, load_set(render_set))
    assert figures.frames == 2
    assert figures.psnr > 16
    assert 0 < figures.ssim < 1
    assert f"{figures.psnr:.3f}" in table(figures)
    assert sheet(truth, made, columns=1).startswith(b"\x89PNG")
    assert evaluate_main(["--avatar", str(folder), "--renders", str(render_set),
                          "--json", str(tmp_path / "f.json"),
                          "--poses", str(tmp_path / "p.png")]) == 0  # fmt: skip
    with Image.open(tmp_path / "p.png") as poses:
        assert poses.size == (8 * SIZE, 6 * SIZE)
    figure = json.loads((tmp_path / "f.json").read_text("utf-8"))[0]
    assert figure["figure"] == "PSNR, dB"
    assert figure["value"] == pytest.approx(figures.psnr, abs=0.01)
    assert "PSNR" in capsys.readouterr().out
    assert "PSNR" in (folder / "card.md").read_text("utf-8")


def test_too_few_frames(render_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(render_set, folder)
    for path in sorted((folder / "frames").iterdir())[2:]:
        path.unlink()
    data = load_set(folder)
    with pytest.raises(UserError, match="2 frames"):
        train(data, Looks.of(data), tmp_path, HeadTraining(steps=1), TINY)


@pytest.mark.parametrize("number", ["--seed=-1", "--seed=4294967296", "--batch=0", "--steps=0", "--design=0"])
def test_a_number_that_cannot_be(number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["--renders", str(tmp_path), "--out", str(tmp_path / "out"), number])
    assert error.value.code == 2
    assert number.split("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--renders"):
        main(["--out", str(tmp_path)])


def test_a_plan_can_be_written(tmp_path: Path) -> None:
    assert main(["--design", "20", "--out", str(tmp_path / "ada")]) == 0
    said = json.loads((tmp_path / "ada" / "set.json").read_text("utf-8"))
    assert (said["name"], said["size"], said["held_out"]) == ("ada", 256, [15])
