# SPDX-License-Identifier: GPL-3.0-or-later
"""The photoreal head: a StyleUNet of our own layout, styled by an emotion mapping network.

GMTalker (arXiv 2312.07669, third stage) renders the 3DMM and lets a StyleUNet (StyleAvatar, Wang et
al. 2023) turn it into a photograph, with a style code from the emotion. Kept from there: the U-shape
with style-modulated, demodulated decoder convolutions (StyleGAN2), per-layer noise, 64 numbers of
style. Changed, for two CPU cores: the 512-wide low resolutions are narrow, every scale has a skip,
no wavelets, and what stays the same from frame to frame (skin, hair, shoulders, backdrop) is looked up
in learned textures at the coordinates that the conditioning renders give. Of footage each sitting has
textures of its own.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arkit import EMOTIONS
from ..conditioning import PARTS, PLANES, Conditioning
from ..head.atlas import HEIGHT

SLOPE = 0.2
"""Of the leaky ReLUs, as in StyleGAN2."""

VARIETY = 0.3
"""Standard deviation about a look, in training and for the seeds of `core render`."""

NOISE_UP_TO = 64
"""Pixels: the largest picture inside the network that noise is added to."""


@dataclass(frozen=True)
class HeadConfig:
    """Sizes of the head network."""

    resolution: int = 256
    """Pixels of the output, height and width."""
    widths: tuple[int, ...] = (16, 48, 80, 112, 160, 192)
    """Channels at full resolution, half, a quarter and so on down."""
    style: int = 64
    """Numbers in the style code, as in StyleAvatar."""
    noise: int = 16
    """Numbers of noise into the emotion mapping network, as many as of emotion embedding."""
    looks: int = 1
    """Learned means of that noise: the usual look, and of footage that of each film."""
    sittings: int = 1
    """Of footage: days or hours apart, each with its own hair, clothes and light, so its own textures."""
    texture: int = 384
    """Texels, width, of the mesh's learned texture; as high as wide, and of an atlas higher."""
    atlas: bool = False
    """Whether each part of the mesh has a place of its own on it (`core.head.atlas`); in avatars before there
    were atlases they lay over each other."""
    texture_channels: int = 8
    """The first three are a base colour that is added to the output."""
    card: int = 192
    """Texels of the texture on the card that turns with the head: hair and outline."""
    card_channels: int = 8
    """Likewise."""
    backdrop_channels: int = 6
    """Of a picture that stays still: the background, and a character's shoulders. Likewise."""
    shoulder_channels: int = 0
    """Of a picture that moves with a person's shoulders; 0 where they stay still. Likewise."""
    alpha: bool = False
    """Whether the network also tells how much of each pixel the person fills."""
    sharpening: float = 0.0
    """How much of its Laplacian is taken from the picture at the end; told after the training."""


class EmotionMapping(nn.Module):
    """EMN: emotion weights and noise to the style code (GMTalker; the MLP as in StyleAvatar)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.embed = nn.Linear(len(EMOTIONS), config.noise)
        width = config.style
        self.layers = nn.Sequential(
            nn.Linear(2 * config.noise, width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, width),
        )

    def forward(self, emotion: Tensor, noise: Tensor) -> Tensor:
        """(B, 8) weights, (B, noise) normal numbers -> (B, style)."""
        style: Tensor = self.layers(torch.cat([self.embed(emotion), noise], 1))
        return style


class StyledConv(nn.Module):
    """Modulated 3x3 convolution with demodulation, noise and leaky ReLU (StyleGAN2, eq. 1 and 3).

    The style scales the input and the demodulation the output, which is the same as scaling the
    weights but lets a whole batch share one dense convolution. Noise comes in at low resolutions
    only: fine irregular detail is in the learned textures, where it sticks to the skin.
    """

    noise: Tensor

    def __init__(self, inside: int, outside: int, style: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outside, inside, 3, 3) / math.sqrt(9 * inside))
        self.bias = nn.Parameter(torch.zeros(outside))
        self.scale = nn.Linear(style, inside)
        nn.init.normal_(self.scale.weight, std=0.1 / math.sqrt(style))
        nn.init.ones_(self.scale.bias)
        self.noisy = size <= NOISE_UP_TO
        if self.noisy:
            self.strength = nn.Parameter(torch.zeros(()))
            # Fixed at inference, so that a still face is a still picture.
            self.register_buffer("noise", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, inside, H, W), (B, style) -> (B, outside, H, W)."""
        scale = self.scale(style).float()
        # In float32 also under autocast: squares of small weights fall below what bf16 tells apart.
        with torch.autocast(x.device.type, enabled=False):
            energy = self.weight.float().square().sum((2, 3))
            demodulation = torch.rsqrt(scale.square() @ energy.T + 1e-8)
        gain = (demodulation * math.sqrt(2))[:, :, None, None]
        x = F.conv2d(x * scale[:, :, None, None].to(x.dtype), self.weight, padding=1)
        x = torch.addcmul(self.bias[:, None, None].to(x.dtype), x, gain.to(x.dtype))
        if self.noisy:
            noise = torch.randn_like(self.noise) if self.training else self.noise
            x = x + (self.strength * noise).to(x.dtype)
        return F.leaky_relu(x, SLOPE)


class Down(nn.Module):
    """Halves the picture and looks at it once more."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
        self.look = nn.Conv2d(outside, outside, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) -> (B, outside, H/2, W/2)."""
        x = F.leaky_relu(self.halve(x), SLOPE)
        looked: Tensor = x + F.leaky_relu(self.look(x), SLOPE)
        return looked


class Up(nn.Module):
    """Doubles the picture, adds the skip of that scale, and styles it twice."""

    def __init__(self, inside: int, outside: int, style: int, size: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inside, outside, 1)
        self.first = StyledConv(outside, outside, style, size)
        self.second = StyledConv(outside, outside, style, size)

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        """(B, inside, H, W), (B, outside, 2H, 2W) -> (B, outside, 2H, 2W)."""
        x = F.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest") + skip
        styled: Tensor = x + self.second(self.first(x, style), style)
        return styled


class StyleUNet(nn.Module):
    """Conditioning features to RGB, styled (StyleAvatar, in the layout told above)."""

    def __init__(self, inside: int, config: HeadConfig) -> None:
        super().__init__()
        widths, style, size = config.widths, config.style, config.resolution
        self.stem = nn.Conv2d(inside, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(
            Down(a, b) for a, b in itertools.pairwise(widths)
        )
        levels = range(len(widths) - 2, 0, -1)
        self.bottom = StyledConv(widths[-1], widths[-1], style, size >> (len(widths) - 1))
        self.ups = nn.ModuleList(
            Up(widths[k + 1], widths[k], style, size >> k) for k in levels
        )
        # Full resolution comes from half by rearranging channels: wide layers there cost too much.
        self.spread = nn.Conv2d(widths[1], 4 * widths[0], 3, padding=1)
        self.finish = StyledConv(widths[0], widths[0], style, size)
        self.colour = nn.Conv2d(widths[0], 4 if config.alpha else 3, 3, padding=1)
        nn.init.zeros_(self.colour.weight)
        nn.init.zeros_(self.colour.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, inside, H, W), (B, style) -> (B, 3, H, W), or 4 with alpha."""
        skips = [F.leaky_relu(self.stem(x), SLOPE)]
        for down in self.downs:
            skips.append(down(skips[-1]))
        x = skips.pop()
        x = x + self.bottom(x, style)
        for up in self.ups:
            x = up(x, skips.pop(), style)
        x = F.pixel_shuffle(F.leaky_relu(self.spread(x), SLOPE), 2) + skips.pop()
        rgb: Tensor = self.colour(self.finish(x, style))
        return rgb


class HeadNetwork(nn.Module):
    """Conditioning renders and emotion to a photoreal frame."""

    sitting: Tensor
    follow: Tensor
    grid: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.emotion = EmotionMapping(config)
        # What neither face nor emotion tell: how the hair lies that day, the collar, the light. A
        # code for each film is learned with the weights (GLO, Bojanowski et al. 2018), or the
        # network would blur over all of them.
        self.looks = nn.Parameter(torch.zeros(config.looks, config.noise))
        count, size = config.sittings, config.resolution
        height = round(config.texture * HEIGHT) if config.atlas else config.texture
        self.texture = nn.Parameter(_noise(count, config.texture_channels, config.texture, height))
        self.card = nn.Parameter(_noise(count, config.card_channels, config.card))
        self.backdrop = nn.Parameter(_noise(count, config.backdrop_channels, size))
        if count > 1:
            # Another haircut is not another style of this one: which textures a look has is given.
            self.register_buffer("sitting", torch.zeros(config.looks, dtype=torch.int64))
        if config.shoulder_channels:
            self.shoulders = nn.Parameter(_noise(count, config.shoulder_channels, size))
            # How far they go with the head, sideways and up, where nobody tells where they are.
            self.register_buffer("follow", torch.zeros(2))
            steps = (2 * torch.arange(size) + 1) / size - 1
            grid = torch.stack([*torch.meshgrid(steps, steps, indexing="xy"), torch.ones(size, size)], -1)
            self.register_buffer("grid", grid, persistent=False)
        inside = config.texture_channels + config.card_channels + config.backdrop_channels
        self.unet = StyleUNet(inside + config.shoulder_channels + len(PLANES), config)

    def forward(self, seen: Conditioning, emotion: Tensor, look: Tensor, variety: Tensor) -> Tensor:
        """Frames from conditioning, emotion and look.

        Args:
            seen: B frames.
            emotion: (B, 8) weights.
            look: (B,) number of the look, 0 the usual one.
            variety: (B or 1, noise) normal numbers that stray from the look; 0 for the look itself.

        Returns:
            (B, 3, H, W) sRGB, about 0..1; (B, 4, H, W) with alpha, if the network has it.

        """
        style: Tensor = self.emotion(emotion, self.looks[look] + VARIETY * variety)
        skin, *around = self.looked_up(seen, look)
        planes = seen.planes
        parts = planes[:, -len(PARTS) :].float()
        covered = parts.sum(1, keepdim=True).clamp(0.0, 1.0)
        behind = (1.0 - covered) * torch.stack([picture[:, :3] for picture in around]).sum(0)
        base = _smooth(covered * skin[:, :3] + behind, parts, teeth=not self.config.atlas)
        # One copy a part, to the layout and precision of the convolutions.
        kind = planes.device.type
        low = torch.is_autocast_enabled(kind)
        working = torch.get_autocast_dtype(kind) if low else skin.dtype
        features = [
            part.to(dtype=working, memory_format=torch.channels_last)
            for part in (planes, skin, *around)
        ]
        made = self.unet(torch.cat(features, 1), style).float()
        rgb = base + made[:, :3] + 0.5
        if self.config.sharpening:
            rgb = rgb - self.config.sharpening * laplacian(rgb)
        return torch.cat([rgb, covered + made[:, 3:]], 1) if self.config.alpha else rgb

    def looked_up(self, seen: Conditioning, look: Tensor) -> list[Tensor]:
        """The learned textures as these frames show them, (B, channels, H, W) each: the mesh's first."""
        with torch.autocast(seen.planes.device.type, enabled=False):
            out = [
                _look_up(self._of(self.texture, look), seen.surface),
                _look_up(self._of(self.card, look), seen.card),
                self._of(self.backdrop, look),
            ]
            if self.config.shoulder_channels:
                place = self.grid[..., :2] + self.grid @ seen.shoulders.transpose(1, 2)[:, None]
                out.append(_look_up(self._of(self.shoulders, look), place, "border"))
        return out

    def carried(self, translation: Tensor) -> Tensor:
        """(B, 2, 3) how the shoulders go with a head that moves (B, 3) metres: as far as in the footage."""
        out = translation.new_zeros(len(translation), 2, 3)
        if self.config.shoulder_channels:
            out[..., 2] = translation[:, :2] * self.follow.to(translation.device)
        return out

    def well_seated(self) -> bool:
        """Whether each look's sitting is one that there is."""
        if self.config.sittings == 1:
            return True
        return bool(((self.sitting >= 0) & (self.sitting < self.config.sittings)).all())

    def _of(self, textures: Tensor, look: Tensor) -> Tensor:
        """(B, C, H, W) of (sittings, C, H, W)."""
        if self.config.sittings == 1:
            return textures.expand(len(look), -1, -1, -1)
        return textures.index_select(0, self.sitting[look])


TINY = HeadConfig(resolution=32, widths=(4, 8, 8), style=8, noise=4, texture=16, card=8)
"""For tests."""


def tiny_head_network(seed: int = 0, config: HeadConfig = TINY) -> HeadNetwork:
    """A random network of a few thousand weights, 32x32 pixels, for tests."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HeadNetwork(config)
        nn.init.normal_(network.unet.colour.weight, std=0.1)
    return network.eval()


def laplacian(x: Tensor) -> Tensor:
    """(B, C, H, W) the four neighbours of each pixel less four times itself; beyond the border all stays as it is."""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = wide[:, :, 1:-1], wide[..., 1:-1]
    return across[..., :-2] + across[..., 2:] + down[:, :, :-2] + down[:, :, 2:] - 4 * x


def _noise(count: int, channels: int, width: int, height: int | None = None) -> Tensor:
    """(count, channels, height, width): no colour yet, and small random features; a square without a height."""
    values = 0.1 * torch.randn(count, channels, height or width, width)
    values[:, :3] = 0.0
    return values


def _smooth(rgb: Tensor, parts: Tensor, *, teeth: bool) -> Tensor:
    """Softens (B, 3, H, W) where parts meet, and on request all teeth.

    A pixel shows the texture at one place, though several parts may share it; and where there is no atlas
    many texels of the teeth fall on one pixel.
    """
    number = torch.arange(1, parts.shape[1] + 1, device=parts.device, dtype=parts.dtype)
    which = (parts * number[:, None, None]).sum(1, keepdim=True)
    around, blurred = (
        F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) for x in (which, rgb)
    )
    # 0 where one part fills the pixel, and where none does.
    shared = 4 * (parts * (1.0 - parts)).sum(1, keepdim=True)
    share = 3 * (which - around).abs() + shared
    if teeth:
        share = share + parts[:, PARTS.index("teeth"), None]
    return torch.lerp(rgb, blurred, share.clamp(0.0, 1.0))


def _look_up(textures: Tensor, place: Tensor, beyond: str = "zeros") -> Tensor:
    """Bilinear samples of (B, C, H, W) at (B, H, W, 2) places; `beyond` -1..1 0 or the border's."""
    return F.grid_sample(textures, place, mode="bilinear", padding_mode=beyond, align_corners=False)
