# SPDX-License-Identifier: GPL-3.0-or-later
"""How head, lids and eyes move in conversation, simulated from published figures over real voices.

No data set that may be shipped with holds conversation-sized motion; what has been measured of it is
published, and a simulation of that is what the network learns from. Figures and their sources:

- Blinks: 26 a minute in conversation, 17 at rest (Bentivoglio et al. 1997, Mov. Disord. 12), with
  log-normal intervals; more of them where speech breaks off (Nakano and Kitazawa 2010, Exp. Brain
  Res. 205); closing in about 70 ms, opening in about 150 (Caffier et al. 2003).
- Eyes: looking at the partner for 3.1 s (deviation 3.2) and away for 0.9 s (0.8) while talking,
  7.9 s (1.6) and 0.4 s (0.2) while listening; sizes 6.9 * -log(u) degrees; directions mostly level
  or upright (Lee, Badler and Badler 2002, "Eyes Alive").
- Head: slow (0.2 to 1.8 Hz), ordinary (to 3.7 Hz) and rapid (to 7 Hz) motion while talking, nearly
  none while listening (Hadar et al. 1983, Hum. Mov. Sci. 2); nods on stressed syllables (Graf et al.
  2002, "Visual prosody"; Munhall et al. 2004, Psychol. Sci. 15).

How far each of these moves the head (a few degrees), the shape of a nod and how far the head joins in
a look aside are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from ..angles import axis_angle
from ..motion_state import CHUNK, EYES, HEAD, LIDS, SIZE, UNITS, Clock, compress, expand
from ..prosody import NAMES, RATE

Array = npt.NDArray[np.float64]

_WAITS: Final = 0.1
"""seconds that a clock stands still after an event, on average (half a row)"""
_LOOK_DIRECTIONS: Final = np.array([15.5, 6.5, 17.7, 7.4, 16.8, 7.9, 20.4, 7.8])
"""percent of looks at 0, 45, 90, ... degrees"""
_AWAY: Final = 4.0
"""degrees from the partner beyond which a look is away"""


_NOD_REACH: Final = 2 * RATE
"""frames to either side of a stress that its nod may move"""


@dataclass(frozen=True)
class Simulation:
    """Rows that a :class:`~..motion_state.Follower` with no prediction turns into motion."""

    rows: Array
    """(K, SIZE); the head's path as it is, in units"""
    events: int
    """blinks and saccades in it"""


def simulate(heard: npt.NDArray[np.float32], rng: np.random.Generator) -> Simulation:
    """Simulate motion over a voice.

    Args:
        heard: (T, 7) prosody at 25 Hz.
        rng: decides.

    """
    count = len(heard) // CHUNK
    signals = {n: heard[: count * CHUNK, i].astype(float) for i, n in enumerate(NAMES)}
    rows = np.zeros((count, SIZE))
    sight, events = _events(rows, signals, rng)
    rows[:, :HEAD] = (_head(signals, sight, rng) / UNITS).reshape(count, HEAD)
    return Simulation(rows, events)


def blink_speed_up(signals: dict[str, Array]) -> Array:
    """(K,) log of how much faster blinks come: at the ends of phrases, and while talking."""
    speaking = signals["speaking"]
    ended = np.clip(gaussian_filter1d(np.roll(speaking, 10), 3) - speaking, 0, 1)
    ended[:10] = 0
    speed = 0.85 + 0.4 * speaking + 2.2 * ended
    out: Array = np.log(speed.reshape(-1, CHUNK).mean(1))
    return out


def _events(rows: Array, signals: dict[str, Array], rng: np.random.Generator) -> tuple[Array, int]:
    """Fill the columns of lids and eyes; the line of sight (T, 2) in degrees, and the events."""
    lids, eyes = Clock(phase=rng.random()), Clock(phase=rng.random())
    speed_up = blink_speed_up(signals)
    speaking = signals["speaking"].reshape(-1, CHUNK).mean(1)
    target, events = np.zeros(2), 0
    sight = np.zeros((len(rows), CHUNK, 2))
    for k, row in enumerate(rows):
        row[LIDS] = _blink_marks(rng)
        row[LIDS][1] = speed_up[k] + rng.normal(0, 0.1)
        row[EYES] = _look_marks(target, speaking[k], rng)
        events += lids.advance(row[LIDS][0], row[LIDS][1]) is not None
        sight[k] = target
        at = eyes.advance(row[EYES][0], 0.0)
        if at is not None:
            target, events = expand(row[EYES][1:]), events + 1
            sight[k, int(at * RATE) + 1 :] = target
    return sight.reshape(-1, 2), events


def _blink_marks(rng: np.random.Generator) -> Array:
    """Log pace, 0, log closing, log opening, depth, lag of a blink."""
    wait = rng.normal(np.log(2.45), 0.75)
    return np.array([
        -wait, 0.0, rng.normal(np.log(0.072), 0.18), rng.normal(np.log(0.15), 0.2),
        rng.normal(1.06, 0.1), rng.normal(0, 0.3),
    ])  # fmt: skip


def _look_marks(target: Array, speaking: float, rng: np.random.Generator) -> Array:
    """Log pace of the look after the next saccade, and where the next saccade goes, compressed."""
    away = float(np.hypot(*target)) > _AWAY
    talking = rng.random() < speaking
    if away:
        mean, deviation = (0.93, 0.8) if talking else (0.43, 0.24)
        goes_away = rng.random() < 0.2
    else:
        # Small shifts over the partner's face, about one a second, until the eyes leave it.
        mean, deviation = 0.9, 0.5
        goes_away = rng.random() < (0.9 / 3.1 if talking else 0.9 / 7.9)
    spread = np.log(1 + (deviation / mean) ** 2)
    wait = np.exp(rng.normal(np.log(mean) - spread / 2, np.sqrt(spread))) - _WAITS
    aim = _look_away(rng) if goes_away else rng.normal(0, (1.3, 0.9))
    return np.array([-np.log(max(wait, 0.06)), *compress(aim)])


def _look_away(rng: np.random.Generator) -> Array:
    direction = rng.choice(8, p=_LOOK_DIRECTIONS / _LOOK_DIRECTIONS.sum()) * 45
    direction = np.radians(direction + rng.uniform(-22, 22))
    size = np.clip(-6.9 * np.log(rng.uniform(0.03, 0.96)), _AWAY + 1, 22)
    aim: Array = size * np.array([np.cos(direction), 0.8 * np.sin(direction)])
    return aim


def _head(signals: dict[str, Array], sight: Array, rng: np.random.Generator) -> Array:
    """(T, 6) axis-angle in radians and metres."""
    count = len(sight)
    speaking = signals["speaking"]
    gain = gaussian_filter1d(0.3 + 0.7 * speaking, 6)
    manner = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.15, 3))
    euler = _postures(speaking, rng) * gain[:, None] ** 0.5
    euler += _band(count, 0.2, 1.8, rng, 3) * (1.0, 0.8, 0.7) * gain[:, None]
    euler += _band(count, 3.7, 6.5, rng, 3) * (0.1, 0.12, 0.07) * (gain - 0.25)[:, None]
    euler += _nods(signals, rng)
    joined = gaussian_filter1d(np.where(np.abs(sight) > _AWAY, sight, 0), 6, axis=0)
    joined[4:] = joined[:-4].copy()  # the head follows the eyes
    euler[:, :2] += (0.22, 0.15) * joined
    euler *= manner
    breath = np.sin(2 * np.pi * (np.arange(count) / RATE * rng.uniform(0.2, 0.3) + rng.random()))
    euler[:, 1] += 0.15 * breath
    place = _band(count, 0.05, 0.6, rng, 3) * (1.6, 0.6, 2.2) * (0.5 + 0.5 * gain[:, None])
    # The neck carries the head: tilting moves it sideways, nodding down moves it forward.
    place += np.stack([0.35 * -euler[:, 2], 0.5 * breath, -0.4 * euler[:, 1]], axis=1)
    pose = np.hstack([axis_angle(euler), place / 1000])
    low: Array = sosfiltfilt(butter(2, 6.5, fs=RATE, output="sos"), pose, axis=0)
    # What the network need not tell apart: 0.02 degrees, 0.02 mm.
    return low + rng.normal(0, 1, low.shape) * ([3.5e-4] * 3 + [2e-5] * 3)


def _band(count: int, low: float, high: float, rng: np.random.Generator, channels: int) -> Array:
    """(T, C) noise between two frequencies, deviation 1."""
    around = 10 * RATE
    sections = butter(2, [low, high], "band", fs=RATE, output="sos")
    noise = sosfiltfilt(sections, rng.normal(size=(count + 2 * around, channels)), axis=0)
    out: Array = noise[around : around + count] / noise.std(0)
    return out


def _postures(speaking: Array, rng: np.random.Generator) -> Array:
    """(T, 3) yaw, pitch, roll in degrees: poses held for some seconds, with eased changes."""
    out = np.zeros((len(speaking), 3))
    frame = 0
    out[:] = _posture(rng)
    while True:
        rate = 0.4 if speaking[min(frame, len(speaking) - 1)] > 0.5 else 0.12
        frame += int(rng.exponential(RATE / rate)) + 8
        if frame >= len(out):
            return out
        length = int(RATE * rng.uniform(0.45, 1.1))
        share = np.clip((np.arange(len(out) - frame) + 1) / length, 0, 1)[:, None]
        target = _posture(rng)
        # From where the head is, which may be on its way to the pose before.
        held = out[frame].copy()
        out[frame:] = held + (target - held) * share**3 * (10 - 15 * share + 6 * share**2)


def _posture(rng: np.random.Generator) -> Array:
    yaw, pitch, roll = rng.normal(0, (3.4, 2.2, 1.6))
    return np.array([yaw, pitch, roll - 0.25 * yaw])


def _nods(signals: dict[str, Array], rng: np.random.Generator) -> Array:
    """(T, 3) yaw, pitch, roll in degrees: short dips on stressed syllables."""
    out = np.zeros((len(signals["energy"]), 3))
    for frame, stress in stresses(signals):
        if rng.random() > 0.25 + 0.6 * stress:
            continue
        size = 2.2 * stress * np.exp(rng.normal(0, 0.4))
        way = np.array([rng.normal(0, 0.3), -1.0, rng.normal(0, 0.25)]) * size
        width = rng.uniform(0.09, 0.15) * RATE
        middle = frame + rng.normal(1.0, 0.8)
        first, last = max(frame - _NOD_REACH, 0), frame + _NOD_REACH
        at = np.arange(first, min(last, len(out))) - middle
        # A dip with a small lift before and after it, which leaves the head where it was.
        shape = np.exp(-0.5 * (at / width) ** 2)
        for side in (3.2, -3.0):
            shape -= 0.25 * np.exp(-0.5 * ((at - side * width) / (1.5 * width)) ** 2)
        out[first:last] += shape[:, None] * way
    return out


def stresses(signals: dict[str, Array]) -> list[tuple[int, float]]:
    """Frames of stressed syllables and how strong each is, 0..1: peaks of the accent."""
    over = np.where(signals["speaking"] > 0.5, signals["accent"], 0)
    peaks = [i for i in range(1, len(over) - 1) if over[i - 1] < over[i] >= over[i + 1]]
    out, last = [], -99
    for i in peaks:
        strength = float(np.clip((over[i] - 0.04) / 0.2, 0, 1))
        if strength > 0 and i - last > 7:
            out.append((i, strength))
            last = i
    return out
