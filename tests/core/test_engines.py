# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.conditioning import PARTS, PLANES, Conditioning
from core.engines import Engine, choose
from core.engines.base import Pictures, inputs
from core.engines.cuda import CudaEngine
from core.engines.exported import ExportedEngine, available
from core.engines.plain import TorchEngine
from core.errors import ExitCode, UserError
from core.models.head import TINY, HeadNetwork, tiny_head_network

SIZE = 32
NETWORK = tiny_head_network()
FOOTAGE = replace(TINY, looks=3, sittings=2, shoulder_channels=4)
VARIETY = torch.randn(1, NETWORK.config.noise, generator=torch.Generator().manual_seed(0))
USUAL = torch.zeros(1, dtype=torch.int64)
CPU = torch.device("cpu")


def seen(seed: int, batch: int = 1) -> tuple[Conditioning, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand(batch, SIZE, SIZE, len(PLANES), generator=generator)
    planes[..., -len(PARTS) :] /= len(PARTS)
    surface, card = (torch.rand(batch, SIZE, SIZE, 2, generator=generator) * 2 - 1 for _ in range(2))
    emotion = torch.rand(batch, 8, generator=generator)
    shoulders = 0.5 * torch.rand(batch, 2, 3, generator=generator) - 0.25
    return Conditioning(planes.permute(0, 3, 1, 2), surface, card, shoulders), emotion


def exact(seed: int, batch: int = 1, network: HeadNetwork = NETWORK, look: int = 0) -> np.ndarray:
    given = inputs(*seen(seed, batch), torch.full((batch,), look), VARIETY.expand(batch, -1))
    with torch.inference_mode():
        return np.asarray(Pictures(network)(*given).numpy())


def exported(lanes: int = 1) -> ExportedEngine:
    if not available():
        pytest.skip("OpenVINO is not installed")
    return ExportedEngine(NETWORK, lanes, 1)


def every() -> list[Engine]:
    return [TorchEngine(NETWORK, CPU, 1, 1), *([exported()] if available() else [])]


def test_every_engine_makes_the_networks_pictures() -> None:
    for engine in every():
        made = engine.pictures(*seen(1), USUAL, VARIETY)
        assert (made.shape, made.dtype) == ((1, SIZE, SIZE, 3), np.uint8)
        off = np.abs(made.astype(int) - exact(1).astype(int))
        assert off.max() <= 6, engine.name  # bfloat16, where the processor has it
        assert off.mean() < 1, engine.name
        assert exact(1).std() > 5


def test_the_same_bytes_every_time() -> None:
    for engine in every():
        first, second = (engine.pictures(*seen(2), USUAL, VARIETY) for _ in range(2))
        assert np.array_equal(first, second)
        assert not np.array_equal(first, engine.pictures(*seen(3), USUAL, VARIETY))


def test_emotion_and_noise_reach_the_picture() -> None:
    for engine in every():
        conditioning, emotion = seen(4)
        calm = engine.pictures(conditioning, emotion, USUAL, VARIETY).copy()
        assert not np.array_equal(calm, engine.pictures(conditioning, 1 - emotion, USUAL, VARIETY))
        assert not np.array_equal(calm, engine.pictures(conditioning, emotion, USUAL, 3 - VARIETY))


def test_a_sitting_has_its_own_textures_and_shoulders_move_in_every_engine() -> None:
    network = tiny_head_network(config=FOOTAGE)
    network.sitting[2] = 1
    with torch.no_grad():
        network.backdrop[1, :3] += 0.3
        network.shoulders[:, :3].normal_(generator=torch.Generator().manual_seed(1))
    engines: list[Engine] = [TorchEngine(network, CPU, 1, 1)]
    engines += [ExportedEngine(network, 1, 1)] if available() else []
    for engine in engines:
        conditioning, emotion = seen(8)
        made = [engine.pictures(conditioning, emotion, torch.tensor([look]), VARIETY) for look in range(3)]
        for look, picture in enumerate(made):
            off = np.abs(picture.astype(int) - exact(8, 1, network, look).astype(int))
            assert off.max() <= 6, engine.name
        assert np.array_equal(made[0], made[1])
        assert np.abs(made[0].astype(int) - made[2]).mean() > 5
        still = replace(conditioning, shoulders=conditioning.shoulders * 0)
        assert np.abs(engine.pictures(still, emotion, USUAL, VARIETY).astype(int) - made[0]).mean() > 2


def test_lanes_do_not_disturb_each_other() -> None:
    engine = exported(lanes=2)
    alone = [engine.pictures(*seen(seed), USUAL, VARIETY) for seed in range(8)]
    start = threading.Barrier(2)

    def lane(seeds: range) -> list[np.ndarray]:
        start.wait()
        return [engine.pictures(*seen(seed), USUAL, VARIETY) for seed in seeds]

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lane, (range(8), range(7, -1, -1))))
    for seed in range(8):
        assert np.array_equal(together[0][seed], alone[seed])
        assert np.array_equal(together[1][7 - seed], alone[seed])


def test_exporting_sends_nothing_and_needs_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    engine = exported()
    assert engine.pictures(*seen(5), USUAL, VARIETY).shape == (1, SIZE, SIZE, 3)


def test_alpha_goes_through() -> None:
    network = tiny_head_network(config=replace(TINY, alpha=True))
    conditioning, emotion = seen(6)
    parts = conditioning.planes[:, -len(PARTS) :]
    parts[:] = 0
    parts[:, 0, 8:24] = 0.5
    with torch.no_grad():
        network.unet.colour.weight[3:] = 0
    engines: list[Engine] = [TorchEngine(network, CPU, 1, 1)]
    engines += [ExportedEngine(network, 1, 1)] if available() else []
    for engine in engines:
        made = engine.pictures(conditioning, emotion, USUAL, VARIETY)
        assert made.shape == (1, SIZE, SIZE, 4)
        # Before it has learned better, alpha is what the mesh covers.
        assert np.abs(made[0, 8:24, :, 3].astype(int) - 128).max() <= 1
        assert made[0, :8, :, 3].max() == 0


def test_the_fastest_at_hand_is_chosen() -> None:
    engine = choose(NETWORK, "cpu")
    assert isinstance(engine, ExportedEngine if available() else TorchEngine)
    assert engine.lanes >= 1
    assert engine.threads >= 1


def test_a_device_that_is_no_device() -> None:
    with pytest.raises(UserError, match="abacus") as error:
        choose(NETWORK, "abacus")
    assert error.value.code == ExitCode.DEVICE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_makes_the_networks_pictures_whatever_the_batch() -> None:
    engine = CudaEngine(tiny_head_network(), batch=4)
    conditioning, emotion = seen(7, 4)
    conditioning = conditioning.to(engine.canvas)
    look, variety = USUAL.expand(4), VARIETY.expand(4, -1)
    whole = engine.pictures(conditioning, emotion, look, variety)
    assert np.abs(whole.astype(int) - exact(7, 4).astype(int)).max() <= 6
    part = Conditioning(conditioning.planes[:2], conditioning.surface[:2], conditioning.card[:2],
                        conditioning.shoulders[:2])  # fmt: skip
    assert np.array_equal(engine.pictures(part, emotion[:2], look[:2], variety[:2]), whole[:2])
    engine.shrink()
    assert engine.batch == 2
    again = engine.pictures(part, emotion[:2], look[:2], variety[:2])
    assert np.abs(again.astype(int) - whole[:2].astype(int)).max() <= 4
