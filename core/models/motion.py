# SPDX-License-Identifier: GPL-3.0-or-later
"""NFMG, the normalizing-flow motion generator of GMTalker (arXiv 2312.07669): a voice in, head pose,
blinks and gaze out, another one for every seed.

As in MoGlow (arXiv 1905.06598) the flow draws motion piece by piece, given what it drew before and
the voice, of which it hears 0.4 s ahead. A recurrent layer carries the past. The paper's own sizes
are not published; these are ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..files import WEIGHTS
from ..motion_curves import Motion
from ..motion_state import CHUNK, HEAD, HISTORY, SIZE, Follower
from ..prosody import NAMES, prosody
from .checkpoint import load_checkpoint
from .flow import ConditionalFlow, FlowSampler

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MotionConfig:
    """Sizes of the network."""

    width: int = 128
    """hidden units of each coupling net"""
    memory: int = 128
    """units of the recurrent layer"""
    steps: int = 8
    """flow steps"""
    ahead: int = 2
    """rows of 0.2 s that are heard ahead"""

    @property
    def heard(self) -> int:
        """Columns of the voice that a row hears: its own and those ahead."""
        return len(NAMES) * CHUNK * (self.ahead + 1)


class MotionNetwork(nn.Module):
    """Rows of motion (see ``motion_state``) given the past and the voice."""

    prediction: Tensor
    mean: Tensor
    whiten: Tensor

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.into = nn.Linear(HISTORY + config.heard, config.memory)
        self.recurrent = nn.GRU(config.memory, config.memory, batch_first=True)
        self.flow = ConditionalFlow(SIZE, config.memory, config.width, config.steps)
        self.register_buffer("prediction", torch.zeros(HEAD, 2 * HEAD))
        """linear prediction of the head's path from two chunks"""
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("whiten", torch.eye(SIZE))
        """(SIZE, SIZE) lower triangular: makes rows uncorrelated, of deviation 1"""

    def remember(self, past: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Condition of each row (B, K, memory) and the last memory, from (B, K, HISTORY + heard)."""
        out, last = self.recurrent(nn.functional.silu(self.into(past)), memory)
        return out, last

    def log_likelihood(self, rows: Tensor, past: Tensor) -> Tensor:
        """(B, K) exact log density of rows (B, K, SIZE), in nats."""
        condition = self.remember(past)[0].flatten(0, 1)
        white = (rows - self.mean) @ self.whiten.T
        inner = self.flow.log_likelihood(white.flatten(0, 1), condition)
        log_det = torch.log(torch.diagonal(self.whiten).abs()).sum()
        return (inner + log_det).reshape(rows.shape[:2])


class MotionStep(nn.Module):
    """One row drawn: what generation runs, and what is exported.

    (1, HISTORY + heard), memory (1, 1, memory), noise (1, SIZE) -> row (1, SIZE), memory.
    """

    def __init__(self, network: MotionNetwork) -> None:
        super().__init__()
        self.into = network.into
        self.recurrent = network.recurrent
        self.sampler = FlowSampler(network.flow)
        colour = torch.linalg.inv(network.whiten.detach())
        self.colour = nn.Parameter(colour.T.contiguous(), requires_grad=False)
        self.mean = nn.Parameter(network.mean.detach().clone(), requires_grad=False)

    def forward(self, past: Tensor, memory: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw."""
        out, memory = self.recurrent(nn.functional.silu(self.into(past))[:, None], memory)
        return self.sampler(noise, out[:, 0]) @ self.colour + self.mean, memory


class MotionModel:
    """The generator with its weights: samples in, motion out."""

    def __init__(self, network: MotionNetwork) -> None:
        self.network = network.eval()
        self.config = network.config
        self.step = MotionStep(network).eval()

    @staticmethod
    def load(path: str | os.PathLike[str] | None = None) -> MotionModel:
        """Read a checkpoint; None is the one that ships.

        Raises:
            UserError: missing or damaged (code 4).

        """
        tensors, said = load_checkpoint(WEIGHTS / "motion.safetensors" if path is None else path)
        network = MotionNetwork(MotionConfig(**said["config"]))
        network.load_state_dict(tensors)
        return MotionModel(network)

    @torch.inference_mode()
    def generate(
        self,
        samples: Array,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Motion:
        """Draw the motion of a voice.

        Args:
            samples: (N,) mono, 16 kHz.
            seed: of the draw; the motion of a voice's beginning does not change with its end.
            temperature: deviation of the noise.
            progress: told rows done and in all.

        """
        heard = prosody(samples)
        count = -(-len(heard) // CHUNK)
        inputs = torch.from_numpy(heard_by_rows(heard, count, self.config.ahead))
        rng = np.random.default_rng(seed)
        follower = Follower(self.network.prediction.numpy().astype(np.float64))
        follower.lids.phase, follower.eyes.phase = rng.random(), rng.random()
        memory = torch.zeros(1, 1, self.config.memory)
        for k in range(count):
            noise = torch.from_numpy(rng.standard_normal((1, SIZE), np.float32) * temperature)
            past = torch.from_numpy(follower.history().astype(np.float32))[None]
            row, memory = self.step(torch.cat([past, inputs[k : k + 1]], 1), memory, noise.float())
            follower.follow(row[0].double().numpy())
            if progress and (k % 20 == 19 or k == count - 1):
                progress(k + 1, count)
        return follower.motion()


def heard_by_rows(heard: Array, count: int, ahead: int) -> Array:
    """(T, 7) prosody to (K, 7 * CHUNK * (ahead + 1)): each row's own and what is ahead of it."""
    missing = (count + ahead) * CHUNK - len(heard)
    long = np.pad(heard, ((0, max(missing, 0)), (0, 0)))
    rows = long[: (count + ahead) * CHUNK].reshape(count + ahead, -1)
    parts = [rows[i : i + count] for i in range(ahead + 1)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)


def tiny_motion_model(seed: int = 0) -> MotionModel:
    """A small random generator, for tests."""
    torch.manual_seed(seed)
    network = MotionNetwork(MotionConfig(width=8, memory=8, steps=2, ahead=1))
    with torch.no_grad():
        network.whiten.mul_(20.0)
        network.mean[HEAD : HEAD + 4] = torch.tensor([-0.9, 0.0, -2.6, -1.9])
        network.mean[HEAD + 4] = 1.0
    return MotionModel(network)
