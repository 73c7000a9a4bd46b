# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of syllables and a pause, as a .wav file in a folder with a difficult name."""
    from core.bench import synthetic_voice, write_wav

    path = tmp_path_factory.mktemp("vöice of two") / "voix é.wav"
    write_wav(path, synthetic_voice(2.0))
    return path


@pytest.fixture(scope="session")
def long_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough that its animation can be interrupted."""
    from core.bench import synthetic_voice, write_wav

    path = tmp_path_factory.mktemp("long") / "voice.wav"
    write_wav(path, np.tile(synthetic_voice(60.0), 5))
    return path


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both track networks, small and random."""
    from core.models.checkpoint import save_checkpoint
    from core.models.expression import tiny_expression_model
    from core.models.motion import tiny_motion_model

    folder = tmp_path_factory.mktemp("weights")
    for name, model in (("expression", tiny_expression_model()), ("motion", tiny_motion_model())):
        network = model.network
        save_checkpoint(folder / f"{name}.safetensors", network.state_dict(), network.config)
    return folder
