# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from core.bench import synthetic_voice
from core.models import phone_scores as module
from core.models.expression import coefficient_count, tiny_expression_model
from core.models.phone_scores import phone_scores
from core.phones import KINDS


def test_they_are_log_probabilities_of_each_frame() -> None:
    voice = synthetic_voice(2.0)
    found = phone_scores(tiny_expression_model(), voice)
    assert found.shape == (coefficient_count(len(voice)), len(KINDS))
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
    assert found.std(0).max() > 0


@pytest.mark.parametrize("samples", [1600, 24_123, 24_320])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    voice, model = synthetic_voice(2.0)[:samples], tiny_expression_model()
    whole = phone_scores(model, voice)
    monkeypatch.setattr(module, "_CHUNK", 17)
    np.testing.assert_allclose(phone_scores(model, voice), whole, atol=1e-5)
