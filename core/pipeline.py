# SPDX-License-Identifier: GPL-3.0-or-later
"""From a voice to face tracks: GMEG's expression and NFMG's motion, at the asked frame rate."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from . import emotion_curve, transcript
from .errors import UserError
from .files import WEIGHTS, check_writable, digest
from .progress import Progress, silent
from .protocol import MOST_STRENGTH, AnimateParams
from .tracks import FaceTracks, made_from

if TYPE_CHECKING:
    from .models.expression import ExpressionModel
    from .models.motion import MotionModel

log = logging.getLogger(__name__)

VERSION: Final = 3
"""Goes up with every change that gives other tracks from the same input."""

LEFTOVER: Final = Fraction(1, 100)
"""A last piece of sound shorter than this share of a frame makes no frame of its own."""

_MOST_NUMERATOR: Final = 2**53
"""of a frame rate; float64 counts as far"""


@dataclass(frozen=True)
class AnimateResult:
    """What was written."""

    tracks: str
    """path"""
    frames: int
    """their number"""
    fps: tuple[int, int]
    """numerator, denominator"""
    start: float
    """seconds of the voice before the first frame"""
    skipped: bool
    """it was there already, made from the same input"""
    warnings: tuple[str, ...] = ()
    """what the user should know about them, a line each"""


def animate_to_file(
    params: AnimateParams,
    progress: Progress = silent,
    *,
    weights: Path | None = None,
    overwrite: bool = False,
) -> AnimateResult:
    """Animate and write the tracks, unless they are there, made from the same input.

    Raises:
        UserError: wrong input, no networks, or a place that cannot be written.

    """
    check_writable(params.output, params.voice, params.emotion_file, params.text)
    key = content_key(params, weights or WEIGHTS)
    tracks = None if overwrite else made_from(params.output, key)
    skipped = tracks is not None
    warnings: list[str] = []
    if tracks is None:
        tracks = animate(params, progress, weights=weights, warn=warnings.append)
        # Without a key the same call works, and warns, again.
        tracks.save(params.output, "" if warnings else key)
    return AnimateResult(
        params.output, len(tracks), params.fps, tracks.start, skipped, tuple(warnings)
    )


def animate(
    params: AnimateParams,
    progress: Progress = silent,
    *,
    weights: Path | None = None,
    warn: Callable[[str], None] = log.warning,
) -> FaceTracks:
    """Turn a voice into face tracks.

    Args:
        params: the voice and what to make of it; ``output`` is not looked at.
        progress: told the stages ``voice``, ``expression`` and ``motion``.
        weights: the folder of the networks; None is the one that ships.
        warn: told what the user should know about the tracks, a line each.

    Raises:
        UserError: wrong input, or no networks.

    """
    fps = _checked(params)
    curve = _curve(params)
    cues = None if params.text is None else transcript.load(params.text, params.language)
    progress("voice", 0, 1)
    from .audio import SAMPLE_RATE, load

    samples = load(params.voice, params.start, params.length)
    progress("voice", 1, 1)
    progress("networks", 0, 1)
    expression_model, motion_model = load_models(weights or WEIGHTS)
    progress("networks", 1, 1)
    times = frame_times(frame_count(Fraction(len(samples), SAMPLE_RATE), fps), fps)

    from .models.expression import coefficient_count
    from .models.expression_network import COEFFICIENT_RATE
    from .mouth import MOUTH, Dials

    steps = np.arange(coefficient_count(len(samples))) / COEFFICIENT_RATE
    performance = expression_model.predict(
        samples,
        curve.at(steps).astype(np.float32),
        seed=params.seed,
        dials=Dials(params.lip_strength, params.jaw_strength, params.smoothing),
        progress=lambda done, total: progress("expression", done, total),
    )
    if cues is not None:
        from .models.phone_scores import phone_scores
        from .text_lips import follow

        heard = phone_scores(expression_model, samples)
        performance, followed = follow(performance, heard, cues, params.start)
        if followed.refused:
            warn(str(followed))
    drawn = motion_model.generate(
        samples, seed=params.seed, progress=lambda done, total: progress("motion", done, total)
    )
    # Scaled before the eyes counter it: they hold their sight however much the head moves.
    motion = replace(drawn, pose=drawn.pose * params.head_strength).at(times)
    # Each channel is read once, at its own instants, so that looking ahead blurs nothing.
    ahead = np.where(MOUTH, params.look_ahead_ms / 1000, 0.0)
    return FaceTracks(
        fps=fps,
        expression=_resample(performance.expression, steps, times, ahead),
        speech=_resample(performance.speech, steps, times, ahead),
        blink=motion.blink,
        gaze=motion.gaze,
        head_rotation=motion.head_rotation,
        head_translation=motion.head_translation,
        emotion=curve.at(times).astype(np.float32),
        start=params.start,
    )


def frame_count(duration: Fraction, fps: Fraction) -> int:
    """Frames that cover ``duration`` seconds; at least one."""
    return max(1, math.ceil(duration * fps - LEFTOVER))


def frame_times(count: int, fps: Fraction) -> npt.NDArray[np.float64]:
    """(T,) seconds from the first frame, exact to rounding even after hours."""
    return np.arange(count, dtype=np.float64) * fps.denominator / fps.numerator


@lru_cache(maxsize=1)
def load_models(weights: Path) -> tuple[ExpressionModel, MotionModel]:
    """Both networks; they stay loaded for the next voice.

    Raises:
        UserError: one is missing (code 4).

    """
    from .models.expression import ExpressionModel
    from .models.motion import MotionModel

    return (
        ExpressionModel.load(weights / "expression.safetensors"),
        MotionModel.load(weights / "motion.safetensors"),
    )


def content_key(params: AnimateParams, weights: Path) -> str:
    """A hash of all that the tracks depend on.

    Raises:
        UserError: the voice, the emotion file or the text cannot be read.

    """
    said = asdict(params) | {"output": None, "voice": digest(params.voice), "version": VERSION}
    if params.emotion_file is not None:
        said["emotion_file"] = digest(params.emotion_file)
    if params.text is not None:
        said["text"] = digest(params.text)
    for name in ("expression", "motion"):
        file = weights / f"{name}.safetensors"
        said[name] = digest(file) if file.is_file() else None
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _checked(params: AnimateParams) -> Fraction:
    """The frame rate, once all numbers are known to be within their bounds."""
    numerator, denominator = params.fps
    fps = Fraction(numerator, denominator) if denominator else Fraction(0)
    if not 1 <= fps <= 1000 or fps.numerator > _MOST_NUMERATOR:
        raise UserError(f"Expected a frame rate from 1 to 1000, got {numerator}/{denominator}.",
                        "Write it as numerator and denominator.")  # fmt: skip
    strengths = [(name, MOST_STRENGTH) for name in ("lip_strength", "jaw_strength", "head_strength")]
    for name, most in (*strengths, ("intensity", 1), ("smoothing", 1), ("look_ahead_ms", 500)):
        value = getattr(params, name)
        if not 0 <= value <= most:
            raise UserError(f"Expected {name} from 0 to {most}, got {value}.", "Leave it out for the usual.")
    if params.seed < 0:
        raise UserError(
            f"Expected a seed of 0 or more, got {params.seed}.", "Any such number will do."
        )
    return fps


def _curve(params: AnimateParams) -> emotion_curve.EmotionCurve:
    if params.emotion_file is None:
        curve = emotion_curve.constant(params.emotion)
    elif params.emotion:
        raise UserError("Got constant emotion weights and a curve too.", "Give one of them.")
    else:
        curve = emotion_curve.load(params.emotion_file)
    return curve.scaled(params.intensity)


def _resample(
    values: npt.NDArray[np.float32],
    steps: npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
    ahead: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """(S, C) at the instants ``steps`` to (T, C) at ``times`` + ``ahead`` (C,), linear between steps."""
    out = np.empty((len(times), values.shape[1]), np.float32)
    for channel, seconds in enumerate(ahead):
        out[:, channel] = np.interp(times + seconds, steps, values[:, channel])
    return out
