"""Output folders that appear whole or not at all, written by one process at a time."""

import errno
import glob
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from flowsci.errors import FlowsciError


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """Hold the lock of `output` and yield an empty folder that takes its place at success.

    Raises `FlowsciError` where another process writes the same output or the disk is full; then,
    and at any other error, `output` is as it was.
    """
    with exclusive(output), replacing(output) as staging:
        yield staging


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `output` at success; its lock must be held."""
    output = output.absolute()
    with _disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        # what mkdtemp names: another output may begin with this one's name
        for left_behind in output.parent.glob(f".{glob.escape(output.name)}-????????.staging"):
            shutil.rmtree(left_behind, ignore_errors=True)
        staging = _empty_beside(output)
        try:
            yield staging
            _replace(staging, output)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Hold the lock file of `output`; raise `FlowsciError` where another live process holds it."""
    lock = output.absolute().with_name(f".{output.name}.lock")
    with _disk_errors(output):
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            _take(lock, output)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise FlowsciError(
                f"{output}: cannot be made: {error.strerror}: {error.filename}. Choose another "
                "place with --output or --results, or `results` in config/config.yaml."
            ) from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take(lock: Path, output: Path) -> None:
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
    try:
        with lock.open("x", encoding="utf-8") as stream:
            json.dump(owner, stream)
        return
    except FileExistsError:
        holder = _read_owner(lock)
    except OSError:
        # an empty lock would bar everyone for ever
        lock.unlink(missing_ok=True)
        raise
    if holder is not None and _is_gone(holder, owner):
        lock.unlink(missing_ok=True)
        _take(lock, output)
        return
    who = "an unknown process"
    if holder is not None:
        job = f", SLURM job {holder['slurm_job_id']}" if holder.get("slurm_job_id") else ""
        who = f"process {holder.get('pid')} on {holder.get('host')}{job}"
    raise FlowsciError(
        f"{output}: {who} is writing here already. Wait until it ends; if it is gone for certain, "
        f"delete {lock} and run again."
    )


def _read_owner(lock: Path) -> dict | None:
    try:
        owner = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) else None


def _is_gone(holder: dict, asking: dict) -> bool:
    """Tell whether the process that took a lock is known to have ended.

    A SLURM job that was requeued asks under its own number from any host, and of another job the
    scheduler knows; otherwise only a process of this host can be looked up.
    """
    if holder.get("host") != asking["host"]:
        job = holder.get("slurm_job_id")
        if job is None or asking["slurm_job_id"] is None:
            return False
        return job == asking["slurm_job_id"] or _has_ended(str(job))
    try:
        process = psutil.Process(holder["pid"])
        same = process.create_time() == holder["started"]
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (KeyError, TypeError, psutil.AccessDenied):
        return False


def _has_ended(job: str) -> bool:
    """Ask SLURM whether a job is over: it lists none of that number, or has forgotten it."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    nothing = asked.returncode == 0 and not asked.stdout.strip()
    return nothing or "Invalid job id" in asked.stderr


@contextmanager
def _disk_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FlowsciError(
            f"{output}: the disk is full ({error.strerror}); nothing was left half-written. "
            "Make room, or choose another place with --results or `results` in config/config.yaml."
        ) from None


def _replace(staging: Path, output: Path) -> None:
    """Put `staging` in the place of `output`, which may hold an older version."""
    if not output.exists():
        staging.rename(output)
        return
    old = _empty_beside(output)
    try:
        output.rename(old / output.name)
        try:
            staging.rename(output)
        except BaseException:
            (old / output.name).rename(output)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _empty_beside(output: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", suffix=".staging", dir=output.parent))
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    return folder
