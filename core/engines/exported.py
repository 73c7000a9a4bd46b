# SPDX-License-Identifier: GPL-3.0-or-later
"""The network exported once to OpenVINO, which runs it on the CPU in less than torch's time.

At 256 pixels, milliseconds of one core a frame, on a Xeon with AMX (the engines after one another
in one process):

====================  =======  ========
engine                float32  bfloat16
====================  =======  ========
torch, channels last      91        48
ONNX Runtime              75         -
OpenVINO                  61        23
====================  =======  ========

OpenVINO fuses each convolution with what follows it. Its pictures differ from torch's in float32 by
1e-5, in bfloat16 by 3e-3, as torch's own bfloat16 does.
"""

from __future__ import annotations

import importlib.util
import queue
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arkit import EMOTIONS
from ..conditioning import PLANES, Conditioning
from ..models.head import HeadNetwork
from .base import Pictures, inputs


def available() -> bool:
    """Whether OpenVINO is installed: there are no wheels of it for some platforms."""
    return importlib.util.find_spec("openvino") is not None


class ExportedEngine:
    """Runs the network by OpenVINO, one frame at a time in each lane."""

    canvas = torch.device("cpu")
    batch = 1

    def __init__(self, network: HeadNetwork, lanes: int, threads: int) -> None:
        import openvino

        self.lanes, self.threads = lanes, threads
        core = openvino.Core()
        capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in capable else "f32"
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]} {precision}"
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": lanes * threads,
            "NUM_STREAMS": lanes,
            # Other threads make conditioning and files: none owns a core.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(_exported(network), "CPU", settings)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(lanes):
            self._requests.put(compiled.create_infer_request())

    def pictures(
        self, seen: Conditioning, emotion: Tensor, look: Tensor, variety: Tensor
    ) -> NDArray[np.uint8]:
        """See `Engine`."""
        request = self._requests.get()
        try:
            given = [part.numpy() for part in inputs(seen, emotion, look, variety)]
            return np.array(request.infer(given, share_inputs=True)[0])
        finally:
            self._requests.put(request)

    def shrink(self) -> None:
        """The batch is one frame already."""


def _exported(network: HeadNetwork) -> Any:
    """The network as an OpenVINO model of fixed shapes, without a file in between."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    config = network.config
    size = config.resolution
    shapes = ([1, size, size, len(PLANES)], [1, size, size, 2], [1, size, size, 2], [1, 2, 3],
              [1, len(EMOTIONS)], [1], [1, config.noise])  # fmt: skip
    front = FrontEndManager().load_by_framework("pytorch")
    kinds = [torch.int64 if len(shape) == 1 else torch.float32 for shape in shapes]
    example = tuple(torch.zeros(shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True))
    with torch.no_grad(), warnings.catch_warnings():
        # Of tracing: sizes become constants, which is what is wanted, and torch has newer ways.
        warnings.simplefilter("ignore")
        decoder = TorchScriptPythonDecoder(Pictures(network).eval(), example_input=example)
    model = front.convert(front.load(decoder))
    model.reshape(dict(zip(model.inputs, shapes, strict=True)))
    return model
