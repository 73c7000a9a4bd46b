# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.conditioning import PARTS, PLANES, Conditioning
from core.engines.base import Pictures
from core.engines.base import inputs as as_arguments
from core.models.head import TINY, HeadConfig, HeadNetwork, StyledConv, tiny_head_network
from core.precision import autocast

SIZE = 32


def inputs(batch: int = 2, seed: int = 0) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand(batch, len(PLANES), SIZE, SIZE, generator=generator)
    planes[:, -len(PARTS) :] = 0
    planes[:, -len(PARTS), 4:] = 1  # skin, below a strip of nothing
    surface = torch.rand(batch, SIZE, SIZE, 2, generator=generator) * 2 - 1
    card = torch.rand(batch, SIZE, SIZE, 2, generator=generator) * 2 - 1
    return Conditioning(planes, surface, card, torch.rand(batch, 2, generator=generator) - 0.5)


def styled(*emotions: int, seed: int = 0, look: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Emotion, look and variety."""
    variety = torch.randn(1, TINY.noise, generator=torch.Generator().manual_seed(seed))
    return torch.eye(8)[list(emotions)], torch.full((len(emotions),), look), variety


def test_frames_have_the_configs_size() -> None:
    network = tiny_head_network()
    assert network(inputs(), *styled(0, 5)).shape == (2, 3, SIZE, SIZE)


def test_sizes_of_the_real_network() -> None:
    network = HeadNetwork(HeadConfig())
    count = sum(p.numel() for p in network.parameters())
    assert 2e6 < count < 6e6


def test_a_network_for_512_has_a_scale_more() -> None:
    config = HeadConfig(resolution=512, widths=(16, 24, 48, 80, 112, 160, 192))
    network = HeadNetwork(config).unet.bottom
    assert network.noise.shape[-1] == 8


def test_still_input_gives_a_still_picture() -> None:
    network = tiny_head_network()
    with torch.no_grad():
        for conv in (network.unet.bottom, network.unet.ups[0].first):
            conv.strength.fill_(0.5)
        first, second = (network(inputs(1), *styled(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_noise_varies_in_training_only() -> None:
    network = tiny_head_network().train()
    with torch.no_grad():
        network.unet.bottom.strength.fill_(0.5)
        first, second = (network(inputs(1), *styled(3)) for _ in range(2))
    assert not torch.equal(first, second)


def test_emotion_and_seed_change_the_picture() -> None:
    network = tiny_head_network()
    with torch.no_grad():
        happy, sad, other = (
            network(inputs(1), *given) for given in (styled(5), styled(6), styled(5, seed=1))
        )
        assert not torch.equal(happy, sad)
        assert not torch.equal(happy, other)


def test_a_batch_is_its_frames() -> None:
    network = tiny_head_network()
    seen, given = inputs(3), styled(0, 4, 5)
    with torch.no_grad():
        together = network(seen, *given)
        one = Conditioning(*(part[1:2] for part in vars(seen).values()))
        alone = network(one, *styled(4))
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


def test_modulation_is_stylegans() -> None:
    conv = StyledConv(5, 7, 8, 16)
    torch.nn.init.normal_(conv.scale.weight)
    conv.eval()
    x, style = torch.randn(1, 5, 16, 16), torch.randn(1, 8)
    scale = conv.scale(style)[0]
    weight = conv.weight * scale[None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    expected = F.leaky_relu(F.conv2d(x, weight * 2**0.5, padding=1), 0.2)
    torch.testing.assert_close(conv(x, style), expected, atol=1e-5, rtol=1e-4)


def test_textures_are_seen_where_the_coordinates_say() -> None:
    network = tiny_head_network()
    seen = inputs(1)
    with torch.no_grad():
        texels = network.config.texture
        place = (torch.arange(SIZE) % texels + 0.5) / texels * 2 - 1
        surface = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)[None]
        surface[:, :4] = 2.0
        skin, _, still = network.looked_up(replace(seen, surface=surface), torch.tensor([0]))
        rows = torch.arange(SIZE) % texels
        expected = network.texture[0][:, rows][:, :, rows]
    torch.testing.assert_close(skin[0, :, 4:], expected[:, 4:], atol=1e-5, rtol=1e-5)
    assert skin[:, :, :4].abs().max() == 0
    assert torch.equal(still, network.backdrop)


def test_edges_of_parts_are_softened_and_nothing_else() -> None:
    network = tiny_head_network()
    with torch.no_grad():
        network.unet.colour.weight.zero_()
        network.texture[:, :3] = 0.5
        network.card.zero_()
        network.backdrop.zero_()
        seen = inputs(1)
        surface = seen.surface.clamp(-0.9, 0.9)
        surface[:, :4] = 2.0
        rgb = network(replace(seen, surface=surface), *styled(0))[0, 0]
    assert (rgb[:3] == 0.5).all()
    assert (rgb[5:] == 1.0).all()
    assert ((rgb[3:5] > 0.6) & (rgb[3:5] < 0.9)).all()


def test_every_weight_learns() -> None:
    network = tiny_head_network().train()
    rgb = network(inputs(), *styled(0, 5))
    (rgb - 0.3).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_it_can_learn_a_picture_that_depends_on_emotion() -> None:
    torch.manual_seed(0)
    network = tiny_head_network().train()
    seen = inputs(2)
    truth = torch.rand(1, 3, SIZE, SIZE).expand(2, -1, -1, -1).clone()
    truth[1] *= 0.5
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(90):
        loss = (network(seen, *styled(5, 6)) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_bfloat16_is_close_to_float32() -> None:
    network = tiny_head_network()
    with torch.no_grad():
        exact = network(inputs(1), *styled(2))
        with autocast(torch.device("cpu")):
            rough = network(inputs(1), *styled(2))
    assert rough.dtype == torch.float32
    assert (exact - rough).abs().mean() < 0.01


def test_it_runs_the_same_in_onnx(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    network = Pictures(tiny_head_network(config=replace(TINY, sharpening=0.05))).eval()
    names = ["planes", "surface", "card", "shoulders", "emotion", "look", "variety"]
    given = dict(zip(names, as_arguments(inputs(1), *styled(5)), strict=True))
    path = tmp_path / "head.onnx"
    torch.onnx.export(
        network, tuple(given.values()), str(path), dynamo=False, opset_version=17,
        input_names=names, output_names=["levels"],
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {i.name: given[i.name].numpy() for i in session.get_inputs()})
    with torch.no_grad():
        expected = network(*given.values()).numpy()
    assert np.abs(made.astype(int) - expected).max() <= 1
    assert expected.std() > 5


def test_looks_of_other_sittings_have_other_textures() -> None:
    network = tiny_head_network(config=replace(TINY, looks=3, sittings=2))
    network.sitting[2] = 1
    with torch.no_grad():
        skin = [network.looked_up(inputs(1), torch.tensor([look]))[0] for look in range(3)]
    assert torch.equal(skin[0], skin[1])
    assert not torch.allclose(skin[0], skin[2])
    assert network.well_seated()
    network.sitting[1] = 2
    assert not network.well_seated()


def test_shoulders_are_seen_where_they_have_moved_to() -> None:
    network = tiny_head_network(config=replace(TINY, shoulder_channels=4))
    pixels = 3
    back = torch.tensor([[[0, 0, -2 * pixels / SIZE], [0, 0, 2 * pixels / SIZE]]])
    seen = replace(inputs(1), shoulders=back)
    with torch.no_grad():
        moved = network.looked_up(seen, torch.tensor([0]))[-1]
        expected = network.shoulders[:, :, pixels:, :-pixels]  # to the right, and up
    torch.testing.assert_close(moved[:, :, :-pixels, pixels:], expected, atol=1e-5, rtol=1e-5)


def test_shoulders_go_with_the_head_where_nobody_tells() -> None:
    network = tiny_head_network(config=replace(TINY, shoulder_channels=4))
    network.follow.copy_(torch.tensor([0.5, 0.25]))
    head = torch.tensor([[0.02, 0.04, 0.1]])
    torch.testing.assert_close(network.carried(head), torch.tensor([[[0, 0, 0.01], [0, 0, 0.01]]]))
    assert tiny_head_network().carried(head).abs().max() == 0
