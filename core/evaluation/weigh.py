# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and say what it took, as JSON on the last line: ``python weigh.py CORES COMMAND ...``.

A process counts the memory of the one it was forked from as its own, so a small one has to start it.
CORES is how many processor cores the command may use, 0 for all.

- Run as a file, with the standard library only.
"""

import json
import math
import os
import subprocess
import sys
import time


def weigh(cores: int, command: list[str]) -> dict[str, float]:
    """Exit code, seconds of the clock and of the processor, bytes at the peak.

    Both of the latter are nan on a system that does not tell.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.STDOUT)
    if not hasattr(os, "wait4"):
        code = process.wait()
        return {"code": code, "wall": time.perf_counter() - began, "processor": math.nan, "memory": math.nan}
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "wall": time.perf_counter() - began,
        "processor": used.ru_utime + used.ru_stime,
        "memory": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


if __name__ == "__main__":
    print(json.dumps(weigh(int(sys.argv[1]), sys.argv[2:])))
