# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures an avatar on the held-out frames of its render set, and shows them side by side.

PSNR is -10 log10 of a frame's mean squared error in sRGB 0..1, averaged over frames; SSIM is Wang et
al. 2004 on the luma; sharpness is the Laplacian energy against the truth's. "Mouth" and "eyes" are
the spots that the loss looks at. The baseline is the training frame with the nearest tracks: what a
look-up without a network would give.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..avatars import Avatar, load
from ..errors import UserError
from ..files import write_bytes
from ..models.head import HeadNetwork
from ..precision import autocast
from ..progress import silent
from ..training.head_cache import HeadCache
from ..training.head_data import RenderSet, load_set
from ..training.head_loss import structure
from .head_sheet import pose_sheet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadFigures:
    """Means over the held-out frames."""

    frames: int
    psnr: float
    """dB"""
    psnr_features: float
    """dB, within the spots round mouth and eyes"""
    ssim: float
    sharpness: float
    """Laplacian energy, ratio to the truth's"""
    baseline_psnr: float
    """dB, of the training frame with the nearest tracks"""
    conditioning_ms: float
    """milliseconds a frame"""
    network_ms: float
    """milliseconds a frame"""


@torch.inference_mode()
def generate(network: HeadNetwork, cache: HeadCache, seed: int = 0) -> tuple[Tensor, float]:
    """(N, 3, H, W) frames 0..1 of a whole cache, and the network's milliseconds a frame."""
    noise = torch.randn(1, network.config.noise, generator=torch.Generator().manual_seed(seed))
    frames, spent = [], 0.0
    for row in range(len(cache)):
        batch = cache.batch([row])
        began = time.perf_counter()
        with autocast(torch.device("cpu")):
            rgb = network.picture(batch.conditioning, network.style(batch.emotion, noise))
        spent += time.perf_counter() - began
        frames.append(rgb.float().clamp(0, 1))
    return torch.cat(frames), 1000 * spent / len(cache)


def psnr(a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
    """(N,) dB of (N, 3, H, W) pairs, where (N, 1, H, W) ``weight`` says which pixels count."""
    error = (a - b).square().mean(1, keepdim=True)
    if weight is None:
        weight = torch.ones_like(error)
    mean = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return -10 * torch.log10(mean.clamp(min=1e-10))


def laplacian_energy(rgb: Tensor) -> Tensor:
    """Mean square of the 4-neighbour Laplacian of (N, 3, H, W)."""
    kernel = rgb.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    return F.conv2d(rgb, kernel, groups=3).square().mean()


def evaluate(avatar: Avatar, data: RenderSet, most: int = 200) -> tuple[HeadFigures, Tensor, Tensor]:
    """Figures, the truth and the generated frames of at most ``most`` held-out frames."""
    training, held = data.split()
    held = held[:most]
    if not held:
        raise UserError(f"'{data.folder}' has no held-out frames.", "Render more of it.")
    began = time.perf_counter()
    cache = HeadCache(data, held, silent)
    conditioning = 1000 * (time.perf_counter() - began) / len(held)
    made, network = generate(avatar.network(), cache)
    truth = torch.cat([cache.batch([row]).truth for row in range(len(cache))])
    spots = cache.attention.float() / 255
    nearest = torch.from_numpy(data.frames(_nearest(data, held, training)))
    baseline = psnr(nearest.permute(0, 3, 1, 2).float() / 255, truth)
    figures = HeadFigures(
        frames=len(held),
        psnr=float(psnr(made, truth).mean()),
        psnr_features=float(psnr(made, truth, spots).mean()),
        ssim=float(structure(made, truth).mean()),
        sharpness=float(laplacian_energy(made) / laplacian_energy(truth)),
        baseline_psnr=float(baseline.mean()),
        conditioning_ms=conditioning,
        network_ms=network,
    )
    return figures, truth, made


def sheet(truth: Tensor, made: Tensor, columns: int = 4) -> bytes:
    """PNG of pairs (truth left, generated right), ``columns`` pairs a line."""
    pairs = torch.cat([truth, made], 3)
    pairs = pairs[: len(pairs) // columns * columns]
    lines = [torch.cat(list(line), 2) for line in torch.split(pairs, columns)]
    picture = (torch.cat(lines, 1).permute(1, 2, 0) * 255).round().to(torch.uint8)
    file = BytesIO()
    Image.fromarray(picture.numpy()).save(file, "PNG")
    return file.getvalue()


def table(figures: HeadFigures) -> str:
    """The figures as lines of a Markdown table."""
    rows = [
        ("held-out frames", f"{figures.frames}"),
        ("PSNR", f"{figures.psnr:.2f} dB"),
        ("PSNR at mouth and eyes", f"{figures.psnr_features:.2f} dB"),
        ("SSIM", f"{figures.ssim:.4f}"),
        ("sharpness against truth", f"{figures.sharpness:.3f}"),
        ("PSNR of the nearest training frame", f"{figures.baseline_psnr:.2f} dB"),
        ("conditioning", f"{figures.conditioning_ms:.1f} ms a frame"),
        ("network", f"{figures.network_ms:.1f} ms a frame"),
    ]
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def main(argv: list[str] | None = None) -> int:
    """``core evaluate head``: prints the figures; writes them, and the sheet, where asked."""
    parser = argparse.ArgumentParser(prog="core evaluate head", description=__doc__)
    parser.add_argument("--avatar", type=Path, required=True, metavar="DIR")
    parser.add_argument("--renders", type=Path, required=True, metavar="SET")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="truth and generated, side by side")
    parser.add_argument("--poses", type=Path, metavar="PNG", help="what the avatar can do, on a sheet")
    parser.add_argument("--most", type=int, default=200, help="held-out frames at most (200)")
    args = parser.parse_args(argv)
    avatar = load(args.avatar)
    if args.poses:
        write_bytes(args.poses, pose_sheet(avatar))
    figures, truth, made = evaluate(avatar, load_set(args.renders), args.most)
    if args.json:
        write_bytes(args.json, (json.dumps(asdict(figures), indent=1) + "\n").encode())
    if args.sheet:
        write_bytes(args.sheet, sheet(truth[:24], made[:24]))
    print(table(figures))
    return 0


def _nearest(data: RenderSet, held: list[int], training: list[int]) -> list[int]:
    """For each held-out frame the training frame with the nearest parameters, each to its scale."""
    names = ("arkit", "gaze", "head_rotation", "head_translation", "emotion")
    values = [data.params[n].reshape(len(data.params[n]), -1) for n in names]
    scaled = np.concatenate([v / max(float(v.std()), 1e-6) for v in values], 1)
    far = scaled[np.asarray(held) - 1][:, None] - scaled[np.asarray(training) - 1][None]
    return [training[int(i)] for i in np.square(far).sum(-1).argmin(1)]
