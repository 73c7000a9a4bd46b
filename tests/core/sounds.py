# SPDX-License-Identifier: GPL-3.0-or-later
"""Sounds for tests, made of harmonics, noise and resonances; (N,) float32 at 16 kHz."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

RATE = 16000
VOWELS = {"a": (750, 1250, 2600), "i": (300, 2250, 3000), "u": (320, 850, 2300),
          "e": (500, 1850, 2500), "o": (500, 950, 2400)}  # fmt: skip


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def vowel(seconds: float, name: str = "a", hz: float | np.ndarray = 120.0) -> np.ndarray:
    """Harmonics under three resonances; ``hz`` may be a contour (N,)."""
    pitch = np.broadcast_to(np.asarray(hz, float), round(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    out = np.zeros(len(pitch))
    for k in range(1, int(5000 / pitch.mean())):
        at = k * pitch
        gain = sum(1 / (1 + ((at - f) / (60 + 0.05 * f)) ** 2) for f in VOWELS[name])
        out += gain / np.sqrt(k) * np.sin(k * phase)
    return (0.2 * out / np.abs(out).max() * ends(len(out))).astype(np.float32)


def whispered(seconds: float, name: str = "a", seed: int = 0) -> np.ndarray:
    """Noise through the same resonances."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    out = np.zeros_like(noise)
    for f in VOWELS[name]:
        r, w = np.exp(-np.pi * 180 / RATE), 2 * np.pi * f / RATE
        part = lfilter([1], [1, -2 * r * np.cos(w), r * r], noise)
        out += part / np.abs(part).max()
    return (0.1 * out / np.abs(out).max() * ends(len(out))).astype(np.float32)


def band_noise(seconds: float, low: float, high: float, level: float, seed: int = 0) -> np.ndarray:
    """Noise between two frequencies, of that root mean square."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE) + 800)
    out = sosfilt(butter(2, (low, high), "band", fs=RATE, output="sos"), noise)[800:]
    return (level * out / out.std()).astype(np.float32)


def ends(count: int, seconds: float = 0.015) -> np.ndarray:
    """(N,) 1 with soft ends."""
    at = np.minimum(np.arange(count), np.arange(count)[::-1]) / (seconds * RATE)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(at, 0, 1))


def breath(seconds: float = 0.4, level: float = 0.006, seed: int = 0) -> np.ndarray:
    return band_noise(seconds, 500, 5000, level, seed) * ends(round(seconds * RATE), 0.1).astype(np.float32)


def laugh(seconds: float = 2.0, per_second: float = 4.8, hz: float = 220.0, seed: int = 0) -> np.ndarray:
    """Ha, ha, ha: breathy noise and a falling vowel in turn."""
    parts, period = [], 1 / per_second
    for k in range(int(seconds * per_second)):
        fall = hz * np.linspace(1.1, 0.85, round(0.55 * period * RATE)) * 0.97**k
        parts += [0.25 * whispered(0.45 * period, "a", seed + k), vowel(len(fall) / RATE, "a", fall)]
    out = np.concatenate(parts)
    return out + band_noise(len(out) / RATE, 500, 5000, 0.002, seed)[: len(out)]


def babble(seconds: float = 3.0, hz: float = 120.0, seed: int = 0) -> np.ndarray:
    """Syllables of uneven length: closure or fricative, then a vowel; a pause now and then."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        length, name = rng.uniform(0.09, 0.22), rng.choice(list(VOWELS))
        onset = rng.choice(["stop", "hiss", "none"], p=[0.45, 0.3, 0.25])
        if onset == "stop":
            parts += [silence(rng.uniform(0.05, 0.09)), band_noise(0.01, 800, 5000, 0.02, len(parts))]
        elif onset == "hiss":
            parts.append(band_noise(rng.uniform(0.07, 0.12), 3000, 7000, 0.02, len(parts)))
        contour = hz * np.linspace(rng.uniform(0.95, 1.2), rng.uniform(0.85, 1.05), round(length * RATE))
        parts.append(vowel(len(contour) / RATE, str(name), contour) * rng.uniform(0.6, 1))
        if rng.random() < 0.1:
            parts.append(silence(0.5))
    return np.concatenate(parts)[: round(seconds * RATE)].astype(np.float32)


def sung(seconds: float = 6.0, hz: float = 220.0) -> np.ndarray:
    """Long vowels on a scale, with vibrato, one into the next."""
    notes, parts = int(seconds / 1.2), []
    for k in range(notes):
        at = np.arange(round(1.2 * RATE)) / RATE
        contour = hz * 2 ** ((0, 2, 4, 5, 7, 5, 4, 2)[k % 8] / 12) * (1 + 0.015 * np.sin(2 * np.pi * 5.5 * at))
        parts.append(vowel(1.2, "aeoiu"[k % 5], contour))
    return np.concatenate(parts)


def chords(seconds: float = 6.0) -> np.ndarray:
    """A chord that changes every second and a half, each tone with its partials."""
    at, parts = np.arange(round(1.5 * RATE)) / RATE, []
    for k in range(int(seconds / 1.5)):
        tones = [220 * 2 ** ((n + (0, 5, 7, 0)[k % 4]) / 12) for n in (0, 4, 7, 12)]
        tone = sum(np.sin(2 * np.pi * f * m * at) / m**1.5 for f in tones for m in range(1, 8))
        parts.append(0.15 * tone / np.abs(tone).max() * np.exp(-at / 1.2) * ends(len(at)))
    return np.concatenate(parts).astype(np.float32)


def drums(seconds: float = 6.0) -> np.ndarray:
    """A low thump and a bright hit in turn, two a second."""
    out = np.zeros(round(seconds * RATE))
    at = np.arange(round(0.25 * RATE)) / RATE
    thump = np.sin(2 * np.pi * 60 * at * np.exp(-2 * at)) * np.exp(-at / 0.08)
    hit = band_noise(0.25, 1000, 7000, 0.3) * np.exp(-at / 0.04)
    for k in range(int(seconds * 2)):
        first = round(k * 0.5 * RATE)
        part = (thump, hit)[k % 2][: len(out) - first]
        out[first : first + len(part)] += 0.4 * part
    return out.astype(np.float32)


def telephone(samples: np.ndarray) -> np.ndarray:
    """300 to 3400 Hz, as an 8 kHz line passes."""
    return sosfilt(butter(6, (300, 3400), "band", fs=RATE, output="sos"), samples).astype(np.float32)
