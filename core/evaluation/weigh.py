# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and say what it took, as JSON on the last line: ``python weigh.py COMMAND ...``.

A process counts the memory of the one it was forked from as its own, so a small one has to start it.

- Run as a file, with the standard library only.
"""

import json
import os
import subprocess
import sys
import time


def weigh(command: list[str]) -> dict[str, float]:
    """Exit code, seconds of the clock and of the processor, bytes at the peak."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.STDOUT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "wall": time.perf_counter() - began,
        "processor": used.ru_utime + used.ru_stime,
        "memory": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


if __name__ == "__main__":
    print(json.dumps(weigh(sys.argv[1:])))
