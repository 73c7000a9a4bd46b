# SPDX-License-Identifier: GPL-3.0-or-later
"""Train NFMG: real voices, with motion simulated over them (see ``motion_prior``)."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import SAMPLE_RATE, load
from ..cli.terminal import reporting
from ..errors import UserError
from ..models.checkpoint import save_checkpoint
from ..models.motion import MotionConfig, MotionModel, MotionNetwork, heard_by_rows
from ..motion_state import HEAD, HISTORY, SECONDS, SIZE, Follower
from ..progress import Progress
from ..prosody import prosody
from .motion_prior import simulate

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

SUFFIXES: Final = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mpg", ".mp4", ".mov"}
WINDOW: Final = 60
"""rows in a training sequence (12 s)"""
BATCH: Final = 32
_PRIMER: Final = 4
"""rows at a sequence's start that only fill the memory"""


@dataclass(frozen=True)
class Session:
    """Rows of one simulation and what each may know."""

    rows: Array
    """(K, SIZE) with the head's part as what prediction leaves"""
    past: Array
    """(K, HISTORY + heard)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and write the checkpoint with its card."""
    parser = argparse.ArgumentParser(prog="core train motion", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of voices, searched deeply"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for motion.safetensors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2200, help="training steps")
    parser.add_argument("--draws", type=int, default=4, help="simulations over each voice")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with reporting() as progress:
        voices = conversations(args.data, np.random.default_rng(args.seed), progress)
        network, figures = train(voices, args.seed, args.steps, args.draws, progress)
    seconds = sum(len(v) for v in voices) / SAMPLE_RATE
    figures |= {"seed": args.seed, "steps": args.steps, "voice_minutes": round(seconds / 60, 1),
                "training_minutes": round((time.monotonic() - began) / 60, 1)}  # fmt: skip
    save_checkpoint(
        args.out / "motion.safetensors", network.state_dict(), network.config, **figures
    )
    MotionModel.load(args.out / "motion.safetensors")
    print(f"{args.out / 'motion.safetensors'}: {figures}")
    return 0


def conversations(
    folder: Path, rng: np.random.Generator, progress: Progress, seconds: float = 60.0
) -> list[Array]:
    """All voices under a folder, strung together with pauses to pieces of about a minute.

    Raises:
        UserError: there are none.

    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"There are no voices under '{folder}'.", "Name a folder of sound files.")
    out: list[Array] = []
    parts: list[Array] = []
    for number, i in enumerate(rng.permutation(len(files))):
        voice = load(files[i])
        voice *= 0.08 / (float(np.sqrt(np.mean(voice**2))) + 1e-6)
        pause = rng.uniform(0.4, 2.0) if rng.random() < 0.75 else rng.uniform(3.0, 9.0)
        hum = rng.normal(0, 2e-5, int(pause * SAMPLE_RATE)).astype(np.float32)
        parts += [hum, voice] if rng.random() < 0.5 else [voice, hum]
        if sum(map(len, parts)) > seconds * SAMPLE_RATE or number == len(files) - 1:
            out.append(np.concatenate(parts))
            parts = []
        progress("voices", number + 1, len(files))
    return out


def train(
    voices: Sequence[Array], seed: int, steps: int, draws: int, progress: Progress
) -> tuple[MotionNetwork, dict[str, Any]]:
    """Fit the linear prediction, the whitening and the flow.

    Args:
        voices: mono, 16 kHz; one in twenty is held out.
        seed: of simulation, initialisation and order.
        steps: of the optimiser.
        draws: simulations over each voice.
        progress: told the stages ``motion`` and ``steps``.

    Returns:
        the network, rounded as it is stored, and its figures.

    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = MotionNetwork(MotionConfig())
    heard = [prosody(v) for v in voices]
    raw = []
    for number, h in enumerate(heard):
        raw.append([simulate(h, rng).rows for _ in range(draws)])
        progress("motion", number + 1, len(heard))
    prediction = fit_prediction([r for rows in raw for r in rows])
    network.prediction.copy_(torch.from_numpy(prediction))
    sessions = [[session(r, h, prediction, network.config) for r in rows]
                for rows, h in zip(raw, heard)]  # fmt: skip
    held = [s for group in sessions[::20] for s in group[:2]]
    used = [s for i, group in enumerate(sessions) for s in group if i % 20 or len(sessions) < 20]
    fit_whitening(network, np.concatenate([s.rows for s in used]))
    _start_norms(network, used, rng)
    figures = _optimise(network, used, held, steps, rng, progress)
    for tensor in network.state_dict().values():
        tensor.copy_(tensor.half().float())
    figures["parameters"] = sum(p.numel() for p in network.parameters())
    figures["held_out_nats_per_row"] = round(_evaluate(network, held), 3)
    return network, figures


def fit_prediction(rows: Sequence[npt.NDArray[np.float64]], ridge: float = 1e-3) -> Array:
    """(30, 60) least squares from the head's path in two chunks to that in the next one."""
    before = np.concatenate([np.hstack([r[:-2, :HEAD], r[1:-1, :HEAD]]) for r in rows])
    after = np.concatenate([r[2:, :HEAD] for r in rows])
    gram = before.T @ before + ridge * len(before) * np.eye(2 * HEAD) * 1e-3
    solved = np.linalg.solve(gram, before.T @ after).T
    return solved.astype(np.float16).astype(np.float32)


def session(
    rows: npt.NDArray[np.float64], heard: Array, prediction: Array, config: MotionConfig
) -> Session:
    """Follow simulated rows, so that training sees the very history that generation will."""
    follower = Follower(prediction.astype(np.float64))
    out, past = np.empty(rows.shape, np.float32), np.empty((len(rows), HISTORY), np.float32)
    for k, row in enumerate(rows):
        row = row.copy()
        row[:HEAD] -= follower.expected()
        past[k] = follower.history()
        follower.follow(row)
        out[k] = row
    voice = heard_by_rows(heard, len(rows), config.ahead)
    # The first rows jump from rest to the first pose; generation begins at rest, so they stay out.
    return Session(out[3:], np.concatenate([past, voice], axis=1)[3:])


def fit_whitening(network: MotionNetwork, rows: Array) -> None:
    """Set mean and whitening from the rows (N, SIZE)."""
    network.mean.copy_(torch.from_numpy(rows.mean(0)))
    covariance = np.cov(rows.astype(np.float64).T) + 1e-9 * np.eye(SIZE)
    lower = np.linalg.inv(np.linalg.cholesky(covariance))
    network.whiten.copy_(torch.from_numpy(lower.astype(np.float16).astype(np.float32)))


def _start_norms(
    network: MotionNetwork, sessions: Sequence[Session], rng: np.random.Generator
) -> None:
    rows, past = next(_batches(sessions, rng))
    with torch.no_grad():
        white = ((rows - network.mean) @ network.whiten.T).flatten(0, 1)
        network.flow.fit_norms(white, network.remember(past)[0].flatten(0, 1))


def _optimise(
    network: MotionNetwork,
    sessions: Sequence[Session],
    held: Sequence[Session],
    steps: int,
    rng: np.random.Generator,
    progress: Progress,
) -> dict[str, Any]:
    optimiser = torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1.5e-3, total_steps=steps, pct_start=0.05
    )
    average = 0.0
    for step, (rows, past) in zip(range(steps), _batches(sessions, rng)):
        # Noise on the past keeps a small error of its own draws from growing in generation.
        past[..., :HEAD] += 0.15 * past[..., :HEAD].std() * torch.randn_like(past[..., :HEAD])
        loss = -network.log_likelihood(rows, past)[:, _PRIMER:].mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        average += (loss.item() - average) * max(0.01, 1 / (step + 1))
        progress("steps", step + 1, steps)
        if step % 500 == 499:
            log.info(
                "step %d: %.3f nats, held out %.3f", step + 1, average, _evaluate(network, held)
            )
    return {"trained_nats_per_row": round(average, 3)}


def _evaluate(network: MotionNetwork, sessions: Sequence[Session]) -> float:
    """Mean negative log likelihood of whole sessions, nats per row."""
    with torch.no_grad():
        parts = [
            -network.log_likelihood(torch.from_numpy(s.rows)[None], torch.from_numpy(s.past)[None])
            for s in sessions
        ]
    return float(torch.cat([p[0, _PRIMER:] for p in parts]).mean())


def _batches(
    sessions: Sequence[Session], rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows of rows and past, (BATCH, WINDOW, ...), without end."""
    long = [s for s in sessions if len(s.rows) >= WINDOW]
    if not long:
        raise UserError(f"The voices are too short: expected one of {WINDOW * SECONDS:.0f} s or more.",
                        "Give more or longer files.")  # fmt: skip
    share = np.array([len(s.rows) for s in long], np.float64)
    while True:
        rows, past = [], []
        for i in rng.choice(len(long), BATCH, p=share / share.sum()):
            first = rng.integers(len(long[i].rows) - WINDOW + 1)
            rows.append(long[i].rows[first : first + WINDOW])
            past.append(long[i].past[first : first + WINDOW])
        yield torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(past))
