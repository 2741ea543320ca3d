"""Snapshots come back as they were, replace each other when whole, and damage is named."""

import errno
import json
import os

import pytest
import torch

from flowsci.errors import FlowsciError
from flowsci.training import snapshots
from flowsci.training.snapshots import Snapshot


def snapshot(step):
    tensors = {"network": {"a": torch.randn(3, 2).T, "b/c": torch.ones(())}, "optimiser": {}}
    return Snapshot(step, tensors, {"seconds": 0.1, "rows": [1e-300]})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_comes_back_as_it_was(tmp_path):
    assert snapshots.load(tmp_path / "none") is None
    written = snapshot(7)
    snapshots.save(tmp_path, written)
    read = snapshots.load(tmp_path)
    assert (read.step, read.values) == (7, written.values)
    assert read.tensors.keys() == written.tensors.keys()
    for name, tensor in written.tensors["network"].items():
        assert torch.equal(read.tensors["network"][name], tensor)
    assert read.tensors["optimiser"] == {}


def test_tensors_that_share_memory_are_written(tmp_path):
    tied = torch.randn(2, 2)
    snapshots.save(tmp_path, Snapshot(0, {"network": {"a": tied, "b": tied, "c": tied[0]}}, {}))
    read = snapshots.load(tmp_path).tensors["network"]
    assert torch.equal(read["a"], tied)
    assert torch.equal(read["b"], tied)


def test_the_former_one_goes_when_the_next_is_whole(tmp_path):
    snapshots.save(tmp_path, snapshot(9))
    (tmp_path / ".step-000000010-killed.staging").mkdir()
    snapshots.save(tmp_path, snapshot(10))
    assert names(tmp_path) == ["step-000000010"]
    assert snapshots.load(tmp_path).step == 10


def test_a_full_disk_keeps_the_former_one(tmp_path, monkeypatch):
    snapshots.save(tmp_path, snapshot(9))

    def full(_number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FlowsciError, match="the disk is full"):
        snapshots.save(tmp_path, snapshot(10))
    assert names(tmp_path) == ["step-000000009"]
    assert snapshots.load(tmp_path).step == 9


def flip_a_bit(folder):
    content = bytearray((folder / snapshots.TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / snapshots.TENSORS).write_bytes(content)


def truncate(folder):
    path = folder / snapshots.VALUES
    path.write_text(path.read_text()[:-9])


def remove(folder):
    (folder / snapshots.TENSORS).unlink()


def other_format(folder):
    path = folder / snapshots.VALUES
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, remove, other_format])
def test_damage_is_named_with_the_mend(tmp_path, damage):
    snapshots.save(tmp_path, snapshot(9))
    damage(tmp_path / "step-000000009")
    with pytest.raises(FlowsciError, match=f"step-000000009: .*damaged.*Delete {tmp_path} to"):
        snapshots.load(tmp_path)
