# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare NFMG's motion with the simulation that it learned from, over the same voices.

The figures: blinks a minute and the shape of their intervals; how fast the head turns and how its
speed is spread over frequencies; nods on stresses; how far and how often the eyes jump; what two
seeds differ by. The distance between two samples of a figure is Wasserstein's first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.signal import welch
from scipy.stats import wasserstein_distance

from ..angles import euler_degrees
from ..cli.terminal import reporting
from ..files import write_bytes
from ..models.motion import MotionModel
from ..motion_curves import Motion
from ..motion_state import HEAD, Follower
from ..prosody import NAMES, RATE, prosody
from ..training.motion import conversations
from ..training.motion_prior import simulate, stresses

Array = npt.NDArray[np.float64]

BANDS: Final = ((0.0, 0.2), (0.2, 1.8), (1.8, 3.7), (3.7, 7.0))
"""Hz; the last three are the slow, ordinary and rapid motion of Hadar et al. 1983"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison as JSON, and write it where asked to."""
    parser = argparse.ArgumentParser(prog="core evaluate motion", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of voices, searched deeply"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="motion.safetensors (shipped)")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10.0, help="voice to use")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    args = parser.parse_args(argv)
    model = MotionModel.load(args.weights)
    with reporting() as progress:
        voices = conversations(args.data, np.random.default_rng(args.seed), progress)
        voices = voices[: max(1, round(args.minutes))]
        drawn, simulated, heard = [], [], []
        for number, voice in enumerate(voices):
            heard.append(prosody(voice))
            drawn.append(model.generate(voice, seed=args.seed + number))
            simulated.append(simulated_motion(heard[-1], args.seed + number))
            progress("voices", number + 1, len(voices))
    report = {
        "voice_minutes": round(sum(len(h) for h in heard) / RATE / 60, 1),
        "network": summary(drawn, heard),
        "simulation": summary(simulated, heard),
        "distance": distances(drawn, simulated),
        "seeds": seed_difference(model, voices[0], args.seed),
    }
    text = json.dumps(report, indent=1)
    if args.output:
        write_bytes(args.output, text.encode() + b"\n")
    print(text)
    return 0


def simulated_motion(heard: npt.NDArray[np.float32], seed: int) -> Motion:
    """The simulation's motion over a voice."""
    follower = Follower(np.zeros((HEAD, 2 * HEAD)))
    rng = np.random.default_rng(seed)
    rows = simulate(heard, rng).rows
    for row in rows:
        follower.follow(row)
    return follower.motion()


def summary(
    motions: Sequence[Motion], heard: Sequence[npt.NDArray[np.float32]]
) -> dict[str, object]:
    """Figures of motion over voices."""
    speaking = np.concatenate([h[: len(m.pose), -1] for m, h in zip(motions, heard)]) > 0.5
    blinks = np.concatenate([_at_events(m.blinks[:, 0], h[:, -1]) for m, h in zip(motions, heard)])
    talk, rest = speaking.sum() / RATE / 60, (~speaking).sum() / RATE / 60
    intervals, sizes = blink_intervals(motions), saccade_sizes(motions)
    speed = [head_speed(m) for m in motions]
    power = np.mean([band_shares(m) for m in motions], axis=0)
    jumps = sum(len(m.saccades) for m in motions)
    return {
        "blinks_per_minute_talking": _r((blinks > 0.5).sum() / talk),
        "blinks_per_minute_silent": _r((blinks <= 0.5).sum() / rest) if rest else None,
        "blink_interval_median_s": _r(np.median(intervals)),
        "blink_interval_log_deviation": _r(np.log(intervals).std()),
        "saccades_per_minute": _r(jumps / (talk + rest)),
        "saccade_size_quartiles_deg": [_r(v) for v in np.percentile(sizes, [25, 50, 75, 95])],
        "head_deviation_deg": [_r(v) for v in head_deviation(motions)],
        "head_speed_deg_per_s": _r(np.concatenate(speed).mean()),
        "head_speed_talking_over_silent": _r(_ratio(speed, heard)),
        "head_speed_share_by_band": {f"{a}-{b} Hz": _r(v) for (a, b), v in zip(BANDS, power)},
        "nod_at_stress_deg": _r(nod_at_stress(motions, heard)),
    }


def distances(drawn: Sequence[Motion], simulated: Sequence[Motion]) -> dict[str, float]:
    """First Wasserstein distances between the samples of both."""
    return {
        "blink_interval_s": _r(
            wasserstein_distance(blink_intervals(drawn), blink_intervals(simulated))
        ),
        "saccade_size_deg": _r(wasserstein_distance(saccade_sizes(drawn), saccade_sizes(simulated))),
        "head_speed_deg_per_s": _r(wasserstein_distance(
            np.concatenate([head_speed(m) for m in drawn]),
            np.concatenate([head_speed(m) for m in simulated]),
        )),
    }  # fmt: skip


def seed_difference(
    model: MotionModel, voice: npt.NDArray[np.float32], seed: int
) -> dict[str, float]:
    """How two seeds differ over one voice."""
    a, b = (euler_degrees(model.generate(voice, seed=seed + i).pose[:, :3]) for i in (0, 1))
    return {
        "head_mean_difference_deg": _r(np.abs(a - b).mean()),
        "head_correlation": _r(np.mean([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)])),
    }


def blink_intervals(motions: Sequence[Motion]) -> Array:
    """Seconds between blinks."""
    return np.concatenate([np.diff(m.blinks[:, 0]) for m in motions])


def saccade_sizes(motions: Sequence[Motion]) -> Array:
    """Degrees of each jump of the eyes."""
    parts = [np.diff(m.saccades[:, 1:], axis=0, prepend=np.zeros((1, 2))) for m in motions]
    sizes: Array = np.linalg.norm(np.concatenate(parts), axis=1)
    return sizes


def head_speed(motion: Motion) -> Array:
    """(T - 1,) degrees a second."""
    euler = euler_degrees(motion.at(np.arange(len(motion.pose)) / RATE).head_rotation)
    speed: Array = np.linalg.norm(np.diff(euler, axis=0), axis=1) * RATE
    return speed


def head_deviation(motions: Sequence[Motion]) -> Array:
    """(3,) deviation of yaw, pitch, roll, degrees."""
    deviation: Array = np.concatenate([euler_degrees(m.pose[:, :3]) for m in motions]).std(0)
    return deviation


def band_shares(motion: Motion) -> Array:
    """Share of the head's speed power in each of :data:`BANDS`."""
    euler = euler_degrees(motion.at(np.arange(len(motion.pose)) / RATE).head_rotation)
    frequency, power = welch(np.diff(euler, axis=0), RATE, nperseg=min(256, len(euler) - 1), axis=0)
    total = power.sum(1)
    shares = [total[(frequency >= a) & (frequency < b)].sum() for a, b in BANDS]
    return np.asarray(np.array(shares) / total.sum(), np.float64)


def nod_at_stress(motions: Sequence[Motion], heard: Sequence[npt.NDArray[np.float32]]) -> float:
    """Mean pitch at stresses less that 0.4 s before and after, degrees; below 0 is a nod."""
    dips = []
    for motion, h in zip(motions, heard):
        pitch = euler_degrees(motion.pose[:, :3])[:, 1]
        for frame, strength in stresses({n: h[:, i].astype(float) for i, n in enumerate(NAMES)}):
            if strength > 0.5 and 12 < frame < len(pitch) - 13:
                dips.append(pitch[frame + 1] - (pitch[frame - 9] + pitch[frame + 11]) / 2)
    return float(np.mean(dips)) if dips else 0.0


def _at_events(onsets: Array, signal: npt.NDArray[np.float32]) -> Array:
    index = np.clip((onsets * RATE).astype(int), 0, len(signal) - 1)
    values: Array = signal[index].astype(np.float64)
    return values


def _ratio(speeds: Sequence[Array], heard: Sequence[npt.NDArray[np.float32]]) -> float:
    talking = np.concatenate([h[: len(s), -1] for s, h in zip(speeds, heard)])
    # Where a last row is not full the path is longer than the voice.
    speed = np.concatenate([s[: len(h)] for s, h in zip(speeds, heard)])
    quiet = speed[talking < 0.1]
    return float(speed[talking > 0.9].mean() / quiet.mean()) if len(quiet) else float("nan")


def _r(value: float | np.floating[Any]) -> float:
    return round(float(value), 3)
