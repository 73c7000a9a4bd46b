# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: safetensors in half precision, with the network's config as JSON beside them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import ExitCode, UserError
from ..files import written_beside


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], config: Any, **extra: Any) -> None:
    """Write ``path`` (safetensors, fp16) and its ``.json``.

    Args:
        path: ends in ``.safetensors``
        tensors: floating point
        config: the network's frozen dataclass
        extra: what else the JSON says (figures, seed, steps)

    """
    half = {n: t.detach().to("cpu", torch.float16).contiguous() for n, t in tensors.items()}
    text = json.dumps({"config": dataclasses.asdict(config), **extra}, indent=1, sort_keys=True)
    for target, content in ((path, save(half)), (path.with_suffix(".json"), text.encode() + b"\n")):
        with written_beside(target) as beside:
            beside.write_bytes(content)


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint.

    Returns:
        float32 tensors, and what the JSON says; lists in it become tuples.

    Raises:
        UserError: missing or damaged (code 4).

    """
    weights = Path(path)
    try:
        tensors = load_file(weights)
        said = json.loads(weights.with_suffix(".json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no model '{error.filename or weights}'.",
                        "Run 'python3 -m installer setup' again.", ExitCode.MISSING) from None  # fmt: skip
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"The model '{weights}' is damaged ({error}).",
                        "Run 'python3 -m installer setup' again.", ExitCode.MISSING) from error  # fmt: skip
    said["config"] = {k: tuple(v) if isinstance(v, list) else v for k, v in said["config"].items()}
    return {n: t.float() for n, t in tensors.items()}, said
