# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the built-in head to ICT-FaceKit Light and write ``head.npz``.

    python -m core.head.build --data DIR -o core/assets/head.npz

- No ``bpy`` module use. Needs scipy. The same data give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arkit import ARKIT_NAMES
from ..errors import ExitCode, UserError
from .assemble import assemble

log = logging.getLogger(__name__)


def write_npz(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write arrays compressed, beside and renamed, with fixed times so that bytes repeat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue())
    os.replace(beside, path)


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m core.head.build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of ict_facekit_light.npz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="head.npz to write")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if not (args.data / "ict_facekit_light.npz").is_file():
            raise UserError(
                f"Expected ict_facekit_light.npz in {args.data}, found none.",
                "Name the folder that holds the ICT-FaceKit Light surfaces.", ExitCode.BAD_INPUT,
            )  # fmt: skip
        arrays = assemble(args.data)
        write_npz(args.output, arrays)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.code)
    log.info(
        "%s: %d vertices, %d faces, %d shapes, %.2f MB", args.output, len(arrays["vertices"]),
        len(arrays["faces"]), len(ARKIT_NAMES), args.output.stat().st_size / 1e6,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
