"""Remove the lock that a killed Snakemake left in this folder; refuse where one is at work."""

import os
import subprocess
import sys

import psutil


def others_at_work() -> list[int]:
    """Give the processes of Snakemake whose working directory is this one."""
    here = os.getcwd()
    found = psutil.process_iter(["pid", "cmdline", "cwd"])
    return [
        process.info["pid"]
        for process in found
        if process.info["cwd"] == here
        and process.pid not in (os.getpid(), os.getppid())
        and any(word.endswith("snakemake") for word in process.info["cmdline"] or [])
    ]


if __name__ == "__main__":
    if running := others_at_work():
        sys.exit(f"Error: Snakemake is at work here already (process {running[0]}); wait for it.")
    sys.exit(subprocess.call([sys.executable, "-m", "snakemake", "--unlock"]))
