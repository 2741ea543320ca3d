"""Outputs are whole or absent, and one process writes at a time."""

import errno
import json
import os
import socket
import subprocess
import sys

import psutil
import pytest

from flowsci.errors import FlowsciError
from flowsci.store.staging import exclusive, replacing, staged


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_output_appears_whole(tmp_path):
    output = tmp_path / "results" / "model"
    with staged(output) as folder:
        (folder / "a").write_text("1")
        assert not output.exists()
    assert names(output) == ["a"]
    assert names(output.parent) == ["model"]


def test_an_error_leaves_the_older_output(tmp_path):
    output = tmp_path / "model"
    with staged(output) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(ValueError, match="half"), staged(output) as folder:
        (folder / "a").write_text("new")
        raise ValueError("half way")
    assert (output / "a").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_new_version_replaces_the_older_one(tmp_path):
    output = tmp_path / "model"
    for text in ("old", "new"):
        with staged(output) as folder:
            (folder / text).write_text(text)
    assert names(output) == ["new"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".model-abc_1234.staging").mkdir()
    with staged(tmp_path / "model") as folder:
        (folder / "a").write_text("1")
    assert names(tmp_path) == ["model"]


def test_a_second_writer_is_refused_by_name(tmp_path):
    output = tmp_path / "model"
    with (
        exclusive(output),
        pytest.raises(FlowsciError, match=f"process {os.getpid()} on") as caught,
        staged(output),
    ):
        pass
    assert ".model.lock" in str(caught.value)
    assert not (tmp_path / ".model.lock").exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {"host": socket.gethostname(), "pid": child.pid}
    owner["started"] = psutil.Process(child.pid).create_time()
    lock = tmp_path / ".model.lock"
    lock.write_text(json.dumps(owner))
    with (
        pytest.raises(FlowsciError, match="is writing here already"),
        exclusive(tmp_path / "model"),
    ):
        pass
    child.kill()
    child.communicate()
    with exclusive(tmp_path / "model"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_the_lock_of_another_host_is_respected(tmp_path):
    owner = {"host": "elsewhere", "pid": 1, "started": 0.0, "slurm_job_id": "77"}
    (tmp_path / ".model.lock").write_text(json.dumps(owner))
    with (
        pytest.raises(FlowsciError, match="process 1 on elsewhere, SLURM job 77"),
        exclusive(tmp_path / "model"),
    ):
        pass


def test_a_full_disk_is_named(tmp_path):
    output = tmp_path / "model"
    with pytest.raises(FlowsciError, match="the disk is full") as caught, replacing(output):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(output) in str(caught.value)
    assert names(tmp_path) == []


def test_a_lock_that_cannot_be_written_does_not_stay(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(json, "dump", full)
        with pytest.raises(FlowsciError, match="the disk is full"), exclusive(tmp_path / "model"):
            pass
    assert names(tmp_path) == []


def test_a_place_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FlowsciError, match=r"cannot be made: .*/file"),
        exclusive(tmp_path / "file" / "model"),
    ):
        pass


def test_a_requeued_job_takes_its_own_lock_over(tmp_path, monkeypatch):
    owner = {"host": "elsewhere", "pid": 1, "started": 0.0, "slurm_job_id": "77"}
    lock = tmp_path / ".model.lock"
    lock.write_text(json.dumps(owner))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with exclusive(tmp_path / "model"):
        assert json.loads(lock.read_text())["host"] == socket.gethostname()


@pytest.mark.parametrize(
    ("says", "over"),
    [
        ("exit 0", True),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
        ("echo RUNNING", False),
        ("echo 'cannot reach the controller' >&2; exit 1", False),
    ],
)
def test_the_scheduler_is_asked_for_the_job_that_holds_a_lock(tmp_path, monkeypatch, says, over):
    owner = {"host": "elsewhere", "pid": 1, "started": 0.0, "slurm_job_id": "77"}
    lock, tools = tmp_path / ".model.lock", tmp_path / "tools"
    lock.write_text(json.dumps(owner))
    tools.mkdir()
    (tools / "squeue").write_text(f"#!/bin/sh\n{says}\n")
    (tools / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    if not over:
        with pytest.raises(FlowsciError, match="SLURM job 77"), exclusive(tmp_path / "model"):
            pass
        return
    with exclusive(tmp_path / "model"):
        assert json.loads(lock.read_text())["slurm_job_id"] == "78"


def test_what_another_output_stages_stays(tmp_path):
    with replacing(tmp_path / "demo-2") as other:
        with replacing(tmp_path / "demo") as folder:
            (folder / "a").write_text("")
        (other / "b").write_text("")
    assert names(tmp_path) == ["demo", "demo-2"]
