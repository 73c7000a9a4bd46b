# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from core import bench


def test_the_table_measures_and_says_what_it_cannot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_weights: object
) -> None:
    monkeypatch.setattr("core.pipeline.WEIGHTS", tiny_weights)
    monkeypatch.setattr(bench, "VOICE_SECONDS", 2.0)
    assert bench.bench("nobody") == 0
    rows = capsys.readouterr().out.strip().split("\n")
    assert rows[0].startswith("gmtalker ")
    for row in rows[2:6]:
        assert float(row.split()[-2 if row.endswith(" s") else -1]) > 0
    assert all("no avatar 'nobody'" in row for row in rows[6:8])


def test_the_synthetic_voice_has_syllables_and_pauses() -> None:
    voice = bench.synthetic_voice(20.0)
    assert voice.shape == (320000,)
    assert np.abs(voice).max() == pytest.approx(0.3)
    level = np.sqrt((voice.reshape(-1, 1600) ** 2).mean(1))
    assert (level < 0.001).mean() > 0.1
    assert (level > 0.02).mean() > 0.3
    np.testing.assert_array_equal(voice, bench.synthetic_voice(20.0))
