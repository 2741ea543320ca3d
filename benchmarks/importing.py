"""What `import flowsci.flow` adds to `import torch`, in a fresh process each time."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from benchmarks.timing import OURS, Result

PROGRAM = """
import time, torch
start = time.process_time()
import flowsci.flow
print(time.process_time() - start)
"""


def seconds() -> float:
    command = [sys.executable, "-c", PROGRAM]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(rounds: int = 5) -> Result:
    """Give the CPU time in seconds; a first import, which may compile, does not count."""
    seconds()
    return Result("import", "s", 0.1, {OURS: median(seconds() for _ in range(rounds))})
