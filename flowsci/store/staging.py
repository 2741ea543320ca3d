"""Output folders that appear whole or not at all, written by one process at a time."""

import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowsci.errors import FlowsciError


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside `output` that takes its place when the block succeeds.

    Raises `FlowsciError` where another process writes the same output or the disk is full; then,
    and at any other error, `output` is as it was.
    """
    output = output.absolute()
    with exclusive(output), _disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
        try:
            staging.chmod(0o777 & ~_umask())
            yield staging
            _replace(staging, output)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Hold the lock file of `output`; raise `FlowsciError` where another live process holds it."""
    lock = output.absolute().with_name(f".{output.name}.lock")
    with _disk_errors(output):
        lock.parent.mkdir(parents=True, exist_ok=True)
        _take(lock, output)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take(lock: Path, output: Path) -> None:
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
    try:
        with lock.open("x", encoding="utf-8") as stream:
            json.dump(owner, stream)
        return
    except FileExistsError:
        holder = _read_owner(lock)
    if holder is not None and holder.get("host") == owner["host"] and not _alive(holder):
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


def _alive(owner: dict) -> bool:
    try:
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return False
    except (KeyError, ValueError, TypeError, PermissionError):
        return True
    return not _is_zombie(int(owner["pid"]))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


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
    old = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        output.rename(old / output.name)
        staging.rename(output)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
