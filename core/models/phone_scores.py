# SPDX-License-Identifier: GPL-3.0-or-later
"""Which speech sound the generator's lip head hears, frame by frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ..features import frame_count, log_mel, speech_level
from .expression import ExpressionModel, coefficient_count
from .expression_network import STEM_STRIDE

_CHUNK = 3000
"""frames handled at a time"""


@torch.inference_mode()
def phone_scores(
    model: ExpressionModel, samples: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(T, K) log-probabilities of the kinds of sound, in the order of ``core.phones.KINDS``, at 50 Hz.

    Args:
        model: the generator
        samples: (N,) mono, 16 kHz

    """
    level, frames = speech_level(samples), frame_count(len(samples))
    count, around = coefficient_count(len(samples)), model.config.context
    parts = []
    for first in range(0, count, _CHUNK):
        last = min(first + _CHUNK, count)
        low, high = max(first - around, 0), min(last + around, count)
        features = log_mel(samples, level, low * STEM_STRIDE, min(high * STEM_STRIDE, frames))
        heard = model.network.encoder(torch.from_numpy(features)[None])
        logits = heard.kinds[0, first - low : last - low]
        parts.append(torch.log_softmax(logits, -1).numpy())
    return np.concatenate(parts)
