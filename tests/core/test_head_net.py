# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.conditioning import PARTS, PLANES
from core.models.head import HeadConfig, HeadNetwork, StyledConv, tiny_head_network
from core.precision import autocast

SIZE = 32


def inputs(batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand(batch, len(PLANES), SIZE, SIZE, generator=generator)
    planes[:, -len(PARTS) :] = 0
    planes[:, -len(PARTS), 4:] = 1  # skin, below a strip of nothing
    surface = torch.rand(batch, SIZE, SIZE, 2, generator=generator) * 2 - 1
    card = torch.rand(batch, SIZE, SIZE, 2, generator=generator) * 2 - 1
    return planes, surface, card


def style_of(network: HeadNetwork, *emotions: int, seed: int = 0) -> Tensor:
    variety = torch.randn(1, network.config.noise, generator=torch.Generator().manual_seed(seed))
    noise = network.noise(torch.tensor([0]), variety)
    weights = torch.eye(8)[list(emotions)]
    return network.style(weights, noise.expand(len(emotions), -1))


def test_frames_have_the_configs_size() -> None:
    network = tiny_head_network()
    assert network(*inputs(), style_of(network, 0, 5)).shape == (2, 3, SIZE, SIZE)


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
        style = style_of(network, 3)
        first, second = (network(*inputs(1), style) for _ in range(2))
    assert torch.equal(first, second)


def test_noise_varies_in_training_only() -> None:
    network = tiny_head_network().train()
    with torch.no_grad():
        network.unet.bottom.strength.fill_(0.5)
        style = style_of(network, 3)
        first, second = (network(*inputs(1), style) for _ in range(2))
    assert not torch.equal(first, second)


def test_emotion_and_seed_change_the_style_and_the_picture() -> None:
    network = tiny_head_network()
    with torch.no_grad():
        happy, sad, other = style_of(network, 5), style_of(network, 6), style_of(network, 5, seed=1)
        assert not torch.allclose(happy, sad)
        assert not torch.allclose(happy, other)
        assert not torch.equal(network(*inputs(1), happy), network(*inputs(1), sad))


def test_a_batch_is_its_frames() -> None:
    network = tiny_head_network()
    planes, surface, card = inputs(3)
    with torch.no_grad():
        style = style_of(network, 0, 4, 5)
        together = network(planes, surface, card, style)
        alone = network(planes[1:2], surface[1:2], card[1:2], style[1:2])
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
    planes, surface, card = inputs(1)
    with torch.no_grad():
        texels = network.config.texture
        place = (torch.arange(SIZE) % texels + 0.5) / texels * 2 - 1
        surface = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)[None]
        surface[:, :4] = 2.0
        skin, _, still = network.looked_up(planes, surface, card)
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
        planes, surface, card = inputs(1)
        surface = surface.clamp(-0.9, 0.9)
        surface[:, :4] = 2.0
        rgb = network(planes, surface, card, style_of(network, 0))[0, 0]
    assert (rgb[:3] == 0.5).all()
    assert (rgb[5:] == 1.0).all()
    assert ((rgb[3:5] > 0.6) & (rgb[3:5] < 0.9)).all()


def test_every_weight_learns() -> None:
    network = tiny_head_network().train()
    rgb = network(*inputs(), style_of(network, 0, 5))
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
        loss = (network(*seen, style_of(network, 5, 6)) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_bfloat16_is_close_to_float32() -> None:
    network = tiny_head_network()
    with torch.no_grad():
        style = style_of(network, 2)
        exact = network(*inputs(1), style)
        with autocast(torch.device("cpu")):
            rough = network(*inputs(1), style)
    assert rough.dtype == torch.float32
    assert (exact - rough).abs().mean() < 0.01


def test_it_runs_the_same_in_onnx(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    network = tiny_head_network()
    seen = inputs(1)
    style = style_of(network, 5).detach()
    path = tmp_path / "head.onnx"
    torch.onnx.export(
        network, (*seen, style), str(path), dynamo=False, opset_version=17,
        input_names=["planes", "surface", "card", "style"], output_names=["rgb"],
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    given = dict(zip(("planes", "surface", "card", "style"), (*seen, style), strict=True))
    (made,) = session.run(None, {n: given[n].numpy() for n in names})
    with torch.no_grad():
        expected = network(*seen, style).numpy()
    np.testing.assert_allclose(made, expected, atol=1e-4)
