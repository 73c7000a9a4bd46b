# SPDX-License-Identifier: GPL-3.0-or-later
"""The face tracker's environment: apart from the engine, whose pins mediapipe does not share."""

from __future__ import annotations

from pathlib import Path

from . import environment
from .environment import Environment, Network
from .places import REQUIREMENTS, TRACKER_PYTHONS, tracker_folder, tracker_record

_CHECK = """
import json, sys
import av, mediapipe, numpy
mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True).close()
print(json.dumps({"python": sys.version.split()[0], "mediapipe": mediapipe.__version__}))
"""


def wanted(python: Path) -> Environment:
    """The environment, to be made with ``python``."""
    return Environment(
        title="the face tracker",
        folder=tracker_folder(),
        record=tracker_record(),
        locks=(REQUIREMENTS / "tracker.txt",),
        python=python,
        check=_CHECK,
    )


def ensure(network: Network) -> Path:
    """Set the tracker up where it is not, and return its Python."""
    env = wanted(environment.find_python("face tracker", TRACKER_PYTHONS))
    environment.ensure(env, network)
    return env.interpreter
