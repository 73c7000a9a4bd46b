# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core import bench, bench_render
from core.avatars import AvatarCard, load, save_avatar
from core.bench_render import Machine
from core.cli import build_parser
from core.errors import ExitCode, UserError
from core.evaluation import cost
from core.evaluation.cost import Cost
from core.models.head import HeadConfig, tiny_head_network
from core.raster import Camera
from core.toy_head import write_toy_head

CPU = Machine(torch.device("cpu"), bfloat16=True, cores=2)
H200 = Machine(torch.device("cuda"), bfloat16=True, cores=0)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An avatar, and a network of another size that is as small; few frames."""
    monkeypatch.setattr(bench_render, "FRAMES", 4)
    small = tiny_head_network().config
    monkeypatch.setattr(
        bench_render, "HeadConfig",
        lambda **sizes: HeadConfig(**{**vars(small), **sizes}),
    )  # fmt: skip
    write_toy_head(tmp_path / "head.npz")
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    save_avatar(tmp_path / "toy", card, Camera(), tiny_head_network(), tmp_path / "head.npz")
    return tmp_path / "toy"


class Runs:
    """Made-up costs of real commands: a second for each frame or for each minute, and one to start."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], int]] = []

    def __call__(self, command: list[str], cores: int = 2) -> Cost:
        self.asked.append((command, cores))
        args = build_parser().parse_args(command[3:])
        if args.command == "render":
            work = args.frames[1] - args.frames[0]
        else:
            work = os.path.getsize(args.voice) / 32000 / 60
        return Cost(1.0 + 0.04 * work, 2.0 + 0.06 * work, 1.5e9)


def test_the_table_has_a_target_beside_each_figure(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tiny_weights: object,
) -> None:  # fmt: skip
    runs = Runs()
    monkeypatch.setattr("core.pipeline.WEIGHTS", tiny_weights)
    monkeypatch.setattr(bench, "MINUTE", 2)
    monkeypatch.setattr(bench, "run", runs)
    monkeypatch.setattr(bench_render, "run", runs)
    monkeypatch.setattr(Machine, "here", lambda cores: CPU)
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert bench.bench(str(toy), hour=False) == ExitCode.DONE
    assert threads[0] == 2
    said = capsys.readouterr().out
    assert said.startswith("gmtalker ")
    lines = {line.strip().split("  ")[0]: line.split() for line in said.split("\n")}
    assert float(lines["ready after, s"][-1]) > 0
    assert lines["tracks to PNG on disk, frames/s"][6] == "25.000"
    assert "ok" not in lines["network alone, frames/s"]
    assert lines["peak memory, GB"][3:7] == ["1.500", "<=", "2", "ok"]
    assert "60 minutes of voice, s" not in lines
    assert {cores for _, cores in runs.asked} == {2}
    assert "'core render', 256 x 256, 2 processor cores" in said
    assert "'core render', 512 x 512, 2 processor cores" in said


def test_frames_of_another_size_come_from_an_untrained_network(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs()
    monkeypatch.setattr(bench_render, "run", runs)
    rows = {r.figure: r for r in bench_render.render_rows(load(toy), tmp_path, 256, CPU)}
    rate = rows["tracks to PNG on disk, frames/s"]
    assert rate.value == pytest.approx(25)
    assert rate.beside == {"processor ms a frame": pytest.approx(60)}
    assert str(rate.target) == ">= 20"
    assert rate.note == "an untrained network of this size"
    assert rows["network alone, frames/s"].value > 0
    assert rows["network alone, frames/s"].note, "which engine"
    made = Path(runs.asked[0][0][runs.asked[0][0].index("--avatar") + 1])
    assert load(made).config.resolution == 256


def test_a_start_longer_than_the_whole_tells_no_rate() -> None:
    slow, quick = Cost(9.0, 2.0, 1e9), Cost(8.0, 3.0, 1e9)
    assert math.isnan(bench_render.rate_of(slow, quick))
    assert bench_render.rate_of(quick, slow) == pytest.approx(bench_render.FRAMES)


def test_targets_are_for_the_machine_that_they_name() -> None:
    slow = Machine(torch.device("cpu"), bfloat16=False, cores=2)
    assert [str(m.rate(256)) for m in (CPU, slow)] == [">= 20", ">= 10"]
    assert CPU.rate(512) is None
    assert Machine(torch.device("cpu"), bfloat16=True, cores=16).rate(256) is None
    assert (str(H200.rate(512)), str(H200.network_rate(512)), H200.memory()) == (">= 150", ">= 500", None)
    half = Machine(torch.device("cuda"), bfloat16=True, cores=0, share=0.5)
    assert (str(half.rate(512)), str(half.network_rate(512))) == (">= 75", ">= 250")
    assert str(CPU.memory()) == "<= 2"


def test_a_machine_without_a_gpu_uses_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Machine.here(None).cores == cost.CORES
    assert Machine.here(3).cores == 3
    assert Machine.here(None).share == 1


def test_an_avatar_that_is_not_there_ends_it_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="no avatar 'nobody'") as error:
        bench.bench("nobody")
    assert error.value.code == ExitCode.MISSING
    assert capsys.readouterr().out == ""


def test_tracks_move_everywhere() -> None:
    tracks = bench_render.moving_tracks(30)
    for name in ("expression", "blink", "gaze", "head_rotation", "head_translation"):
        values = getattr(tracks, name).reshape(30, -1)
        assert (np.ptp(values, 0) > 0).all()
        assert np.abs(values).max() <= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that binds to cores")
def test_a_command_is_held_to_its_cores() -> None:
    count = "import os, sys; sys.exit(0 if len(os.sched_getaffinity(0)) == 1 else 9)"
    assert cost.run([sys.executable, "-c", count], 1).memory > 1e6
    open_ = f"import os, sys; sys.exit(len(os.sched_getaffinity(0)) != {len(os.sched_getaffinity(0))})"
    assert not math.isnan(cost.run([sys.executable, "-c", open_], 0).processor)
    before = os.sched_getaffinity(0)
    with bench_render.held_to(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_the_synthetic_voice_has_syllables_and_pauses() -> None:
    voice = bench.synthetic_voice(20.0)
    assert voice.shape == (320000,)
    assert np.abs(voice).max() == pytest.approx(0.3)
    level = np.sqrt((voice.reshape(-1, 1600) ** 2).mean(1))
    assert (level < 0.001).mean() > 0.1
    assert (level > 0.02).mean() > 0.3
    np.testing.assert_array_equal(voice, bench.synthetic_voice(20.0))
