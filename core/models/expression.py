# SPDX-License-Identifier: GPL-3.0-or-later
"""The expression generator in use: a voice and emotion weights in, coefficients out.

Voices go through in chunks (``streaming``) with the context that the network depends on, so the
result is that of the whole. The network itself is in ``expression_network``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..arkit import EMOTIONS
from ..audio import SAMPLE_RATE
from ..errors import UserError
from ..features import frame_count, speech_level
from ..files import WEIGHTS
from ..mouth import AS_PREDICTED, Dials
from .checkpoint import load_checkpoint
from .expression_network import (
    COEFFICIENT_RATE,
    LATENT_STRIDE,
    STEM_STRIDE,
    ExpressionConfig,
    ExpressionNetwork,
)
from .streaming import ExpressionStream, Performance, joined

Array = npt.NDArray[np.float32]


__all__ = ["ExpressionModel", "Performance", "coefficient_count", "normalised_emotion",
           "tiny_expression_model"]  # fmt: skip


class ExpressionModel:
    """The generator with its weights: samples in, coefficients out."""

    def __init__(self, network: ExpressionNetwork) -> None:
        self.network = network.eval()
        self.config = network.config

    @staticmethod
    def load(path: str | os.PathLike[str] | None = None) -> ExpressionModel:
        """Read a checkpoint; None is the one that ships.

        Raises:
            UserError: missing or damaged (code 4).

        """
        tensors, said = load_checkpoint(WEIGHTS / "expression.safetensors" if path is None else path)
        network = ExpressionNetwork(ExpressionConfig(**said["config"]))
        network.load_state_dict(tensors)
        return ExpressionModel(network)

    @torch.inference_mode()
    def predict(
        self,
        samples: Array,
        emotion: Array | None = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        dials: Dials = AS_PREDICTED,
        chunk_seconds: float = 30.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Performance:
        """Animate a voice.

        Args:
            samples: (N,) mono, 16 kHz
            emotion: (T, 8) weights, T = ``coefficient_count(N)``; None is neutral. What a row lacks
                to a sum of 1 counts as neutral; a row over 1 is scaled down.
            seed: of the latent draw
            temperature: of the latent draw; 0 takes the mean
            dials: of the artist
            chunk_seconds: sound handled at a time; the result does not depend on it
            progress: told chunks done and in all

        """
        count = coefficient_count(len(samples))
        weights = normalised_emotion(emotion, count)
        stream = ExpressionStream(
            self, level=speech_level(samples), emotion=lambda first, last: weights[first:last],
            seed=seed, temperature=temperature, dials=dials, chunk_seconds=chunk_seconds,
        )  # fmt: skip
        hop = stream.chunk * SAMPLE_RATE // COEFFICIENT_RATE
        chunks = -(-count // stream.chunk)
        parts = []
        for number in range(chunks):
            parts.append(stream.feed(samples[number * hop : (number + 1) * hop]))
            if progress:
                progress(number + 1, chunks)
        return joined([*parts, stream.finish()])

    def _chunk(
        self, features: Tensor, emotions: tuple[Tensor, Tensor], noise: Tensor, first: int, last: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Frames first..last-1, from as much sound around them as they depend on."""
        around = -(-self.config.context // LATENT_STRIDE) * LATENT_STRIDE
        low, high = max(first - around, 0), min(last + around, len(emotions[0]))
        heard = self.network.encoder(features[None, low * STEM_STRIDE : high * STEM_STRIDE])
        mouth = self.network.neutral(heard)
        mixture = self.network.mapper(heard.expression)
        drift = noise[None, low // LATENT_STRIDE : -(-high // LATENT_STRIDE)]
        keep = slice(first - low, last - low)
        faces = []
        for weights in emotions:
            code = self.network.draw(mixture, weights[None, low:high], drift)
            face = self.network.expressed(code, mouth, weights[None, low:high])
            faces.append(face[0, keep])
        return faces[0], faces[1], torch.sigmoid(heard.activity)[0, keep]


def coefficient_count(samples: int) -> int:
    """T, the frames at 50 Hz that so many samples at 16 kHz give."""
    return -(-frame_count(samples) // STEM_STRIDE)


def normalised_emotion(emotion: Array | None, count: int) -> Array:
    """(count, 8) weights of sum 1, neutral taking what is left over.

    Raises:
        UserError: wrong shape, negative, or not a number.

    """
    if emotion is None:
        emotion = np.zeros((count, len(EMOTIONS)), np.float32)
    weights = np.array(emotion, np.float32)
    if weights.shape != (count, len(EMOTIONS)):
        raise UserError(f"Expected emotion weights of shape {(count, len(EMOTIONS))}, "
                        f"got {weights.shape}.", "Give eight weights for each frame.")  # fmt: skip
    if not np.isfinite(weights).all() or weights.min(initial=0) < 0:
        raise UserError("Expected emotion weights of 0 or more, got one that is not.",
                        "Check the emotion curves.")  # fmt: skip
    weights[:, 0] += np.maximum(1 - weights.sum(1), 0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def tiny_expression_model(seed: int = 0) -> ExpressionModel:
    """A small random generator, for tests."""
    torch.manual_seed(seed)
    config = ExpressionConfig(
        width=16, lip_width=8, lip_dilations=(1,), mouth_width=16, tone_width=8, tone_dilations=(1,),
        mapper_width=8, heads=2, band=2, latent=4, decoder_width=16, decoder_dilations=(1,),
    )  # fmt: skip
    return ExpressionModel(ExpressionNetwork(config))
