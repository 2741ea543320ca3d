"""Prepared and generated datasets: written, opened, refused."""

import json

import numpy as np
import pytest
import xarray

from flowsci.errors import FlowsciError
from flowsci.store.checksums import of_folder
from flowsci.store.prepared import Prepared, open_prepared, write_prepared
from flowsci.store.samples import Exported, finish_samples, open_shards, shard_range, write_shard

ABOUT = {
    "domain": "trajectories",
    "name": "made",
    "title": "Made tracks",
    "licence": "MIT",
    "citation": "Nobody",
    "provenance": {"stage": "prepare", "packages": {"numpy": "2"}},
}


@pytest.fixture
def folder(tmp_path):
    arrays = xarray.Dataset({"east": ("point", np.arange(5, dtype=np.float32))})
    counts = {"kept": {"points": 5}, "dropped": {"gap": 2}}
    prepared = Prepared(arrays, counts, {"scale": 2.0}, {"east": "km"}, "Five points.")
    write_prepared(tmp_path, prepared, ABOUT)
    return tmp_path


def test_what_is_written_is_read(folder):
    prepared, manifest = open_prepared(folder, "trajectories")
    assert prepared.arrays["east"].values.tolist() == [0, 1, 2, 3, 4]
    assert prepared.statistics == {"scale": 2.0}
    assert prepared.units == {"east": "km"}
    assert manifest["files"]["prepared.zarr"]["sha256"] == of_folder(folder / "prepared.zarr")
    card = (folder / "card.md").read_text()
    for line in ("# Made tracks", "Five points.", "| dropped.gap | 2 |", "| east | km |"):
        assert line in card.splitlines()


def test_other_folders_are_refused(folder, tmp_path_factory):
    with pytest.raises(FlowsciError, match="of the domain 'trajectories', expected 'weather'"):
        open_prepared(folder, "weather")
    with pytest.raises(FlowsciError, match=r"holds no manifest\.json"):
        open_prepared(tmp_path_factory.mktemp("empty"), "trajectories")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(FlowsciError, match="has format 99"):
        open_prepared(folder, "trajectories")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(FlowsciError, match="cannot be read"):
        open_prepared(folder, "trajectories")


def test_damaged_arrays_are_refused(folder):
    (chunk,) = (path for path in (folder / "prepared.zarr" / "east" / "c").iterdir())
    chunk.unlink()
    with pytest.raises(FlowsciError, match="prepare the dataset again"):
        open_prepared(folder, "trajectories")


@pytest.mark.parametrize(("conditions", "shards"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_shards_cover_every_condition_once(conditions, shards):
    ranges = [shard_range(conditions, shard, shards) for shard in range(shards)]
    assert [c for part in ranges for c in part] == list(range(conditions))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def rows(first, last):
    return xarray.Dataset({"east": ("row", np.arange(first, last, dtype=np.float32))})


def shard(folder, number, parts, key="k", shards=2):
    folder.mkdir()
    about = {"domain": "trajectories", "key": key, "shard": number, "shards": shards}
    write_shard(folder, parts, about)
    return folder


def test_shards_join_in_order_whatever_the_order_of_the_folders(tmp_path):
    second = shard(tmp_path / "1", 1, [rows(5, 7)])
    first = shard(tmp_path / "0", 0, [rows(0, 2), rows(2, 5)])
    joined = open_shards([second, first], "trajectories", "k")
    assert joined["east"].values.tolist() == list(range(7))


def test_an_empty_shard_is_no_obstacle(tmp_path):
    folders = [shard(tmp_path / "0", 0, []), shard(tmp_path / "1", 1, [rows(0, 2)])]
    assert open_shards(folders, "trajectories", "k").sizes["row"] == 2


def test_missing_and_foreign_shards_are_refused(tmp_path):
    first = shard(tmp_path / "0", 0, [rows(0, 2)])
    foreign = shard(tmp_path / "1", 1, [rows(0, 2)], key="other")
    with pytest.raises(FlowsciError, match="0 to 1 are needed"):
        open_shards([first], "trajectories", "k")
    with pytest.raises(FlowsciError, match="another model, data or settings"):
        open_shards([first, foreign], "trajectories", "k")
    with pytest.raises(FlowsciError, match="There is no shard 2"):
        shard_range(4, 2, 2)


def test_a_finished_dataset_names_its_files(tmp_path):
    (tmp_path / "samples.csv").write_text("a\n1\n")
    exported = Exported({"samples.csv": "All samples."}, {"a": "km"})
    finish_samples(tmp_path, exported, ABOUT)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kind"] == "generated dataset"
    assert manifest["units"] == {"a": "km"}
    assert manifest["files"]["samples.csv"]["description"] == "All samples."
    assert "`samples.csv`: All samples." in (tmp_path / "card.md").read_text()
