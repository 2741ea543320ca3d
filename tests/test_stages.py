"""The stages on made flights: what each leaves, that samples do not depend on how the work is cut,
and that nothing is left where a stage fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
import yaml

from flowsci import report, stages
from flowsci.errors import FlowsciError
from flowsci.runs import load_data, load_run
from flowsci.store.checksums import of_file, of_folder
from flowsci.store.staging import exclusive
from tests.domains.trajectories.conftest import data_settings, flight, write

RUN = {
    "domain": "trajectories",
    "data": "made",
    "title": "Made flights, continued",
    "network": {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
    "training": {"steps": 6, "minutes": 1, "batch_size": 8, "validate_every_steps": 3},
    "sampling": {"samples": 20, "steps": 2, "batch_size": 2, "shards": 3},
    "evaluation": {"bootstrap": 100},
}


def write_run(folder: Path, name: str, **changes: dict) -> Path:
    path = folder / "config" / "runs" / "trajectories" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    sections = {key: {**RUN[key], **change} for key, change in changes.items()}
    path.write_text(yaml.safe_dump({**RUN, **sections}))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose run `made` has gone through all stages."""
    folder = tmp_path_factory.mktemp("project")
    data_file = folder / "config" / "data" / "trajectories" / "made.yaml"
    data_file.parent.mkdir(parents=True)
    raw = write(folder / "made.json", [row for number in range(20) for row in flight(number)])
    settings = data_settings(source={"kind": "path", "path": str(raw)})
    data_file.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    run = load_run(write_run(folder, "made"))
    place = folder / "results" / "trajectories"
    folders = report.Folders(
        data=place / "data" / "made",
        model=place / "made" / "model",
        samples=place / "made" / "samples",
        evaluation=place / "made" / "evaluation",
    )
    stages.prepare(load_data(data_file), folders.data)
    stages.train(run, folders.data, folders.model)
    stages.sample(run, folders.data, folders.model, folders.samples)
    stages.evaluate(run, folders.data, folders.samples, folders.evaluation)
    report.report(run, folders, place / "made" / "report")
    return folder, folders


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_each_stage_leaves_its_folder_and_nothing_else(made):
    folder, folders = made
    assert names(folders.data) == {"prepared.zarr", "manifest.json", "card.md"}
    assert names(folders.model) == {"model.safetensors", "model.json", "history.csv"}
    assert {"samples.parquet", "manifest.json", "card.md"} <= names(folders.samples)
    assert names(folders.evaluation) == {"metrics.json", "figures"}
    place = folder / "results" / "trajectories"
    assert names(place / "made") == {"model", "samples", "evaluation", "report"}
    assert names(place / "made" / "report") == {"metrics.html", "provenance.html"}
    assert [path for path in place.rglob(".*") if path.is_file()] == []


def test_manifests_say_what_the_files_are(made):
    _, folders = made
    manifest = read(folders.data / "manifest.json")
    checksum = of_folder(folders.data / "prepared.zarr")
    assert manifest["files"]["prepared.zarr"]["sha256"] == checksum
    manifest = read(folders.samples / "manifest.json")
    assert set(manifest["files"]) == names(folders.samples) - {"manifest.json", "card.md"}
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == of_file(folders.samples / name)
        assert entry["description"]
    assert of_file(folders.model / "model.safetensors") in manifest["model"]
    assert manifest["units"]["altitude"] == "m"
    assert manifest["units"]["east"] == "km"


def test_every_stage_records_its_provenance(made):
    _, folders = made
    files = [
        folders.data / "manifest.json",
        folders.model / "model.json",
        folders.samples / "manifest.json",
        folders.evaluation / "metrics.json",
    ]
    for path in files:
        provenance = read(path)["provenance"]
        assert provenance["seconds"] > 0
        assert provenance["seconds"] == round(provenance["seconds"], 2)
        assert provenance["peak_memory_mb"] > 0
        assert provenance["device"] == "cpu"
        assert provenance["packages"]["torch"].startswith("2.13.0")
        assert all(len(checksum) == 64 for checksum in provenance["inputs"].values())
        assert provenance["inputs"]
    settings = read(folders.samples / "manifest.json")["provenance"]["settings"]
    assert settings["sampling"]["samples"] == 20


def test_metrics_have_the_one_shape(made):
    _, folders = made
    content = read(folders.evaluation / "metrics.json")
    assert content["protocol"]
    for metric in content["metrics"].values():
        assert set(metric) == {
            *("model", "reference", "baselines", "unit", "better", "count", "interval")
        }
        low, high = metric["interval"]
        rounding = 1e-9 * abs(high)
        assert low - rounding <= metric["model"] <= high + rounding
        assert metric["better"] in ("lower", "higher", "reference")


def test_samples_do_not_depend_on_batches_and_shards(made, tmp_path):
    folder, folders = made
    expected = pandas.read_parquet(folders.samples / "samples.parquet")
    run = load_run(write_run(folder, "other", sampling={"batch_size": 64, "shards": 1}))
    stages.sample(run, folders.data, folders.model, tmp_path / "samples")
    found = pandas.read_parquet(tmp_path / "samples" / "samples.parquet")
    pandas.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-4)


def test_shards_of_other_settings_do_not_merge(made, tmp_path):
    folder, folders = made
    runs = [
        load_run(write_run(folder, f"seed_{seed}", sampling={"seed": seed, "shards": 2}))
        for seed in (1, 2)
    ]
    shards = [tmp_path / "0-of-2", tmp_path / "1-of-2"]
    for number, (run, shard) in enumerate(zip(runs, shards, strict=True)):
        stages.sample_shard(run, folders.data, folders.model, number, shard)
    with pytest.raises(FlowsciError, match="another model, data or settings"):
        stages.merge(runs[0], folders.data, folders.model, shards, tmp_path / "samples")
    assert not (tmp_path / "samples").exists()


def test_a_model_of_another_domain_is_refused(made, tmp_path):
    folder, folders = made
    model = tmp_path / "model"
    model.mkdir()
    for path in folders.model.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    about = read(model / "model.json")
    (model / "model.json").write_text(json.dumps({**about, "domain": "weather"}))
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    with pytest.raises(FlowsciError, match="model of the domain 'weather'"):
        stages.sample(run, folders.data, model, tmp_path / "samples")
    assert not (tmp_path / "samples").exists()


def test_a_second_writer_of_a_run_is_refused(made, tmp_path):
    folder, folders = made
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    with (
        exclusive(tmp_path / "model"),
        pytest.raises(FlowsciError, match="is writing here already"),
    ):
        stages.train(run, folders.data, tmp_path / "model")
    assert names(tmp_path) == set()


def test_a_second_sampling_leaves_the_shards_of_the_first(made, tmp_path):
    folder, folders = made
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    drawn = tmp_path / ".samples.shards" / "0-of-3"
    drawn.mkdir(parents=True)
    with (
        exclusive(drawn.parent),
        pytest.raises(FlowsciError, match="is writing here already"),
    ):
        stages.sample(run, folders.data, folders.model, tmp_path / "samples")
    assert drawn.exists()


def test_a_model_with_settings_of_another_version_is_named(made, tmp_path):
    folder, folders = made
    shutil.copytree(folders.model, tmp_path / "model")
    about = read(tmp_path / "model" / "model.json")
    about["network"]["depth"] = 3
    (tmp_path / "model" / "model.json").write_text(json.dumps(about))
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    with pytest.raises(FlowsciError, match=r"network\.depth: unknown key"):
        stages.sample(run, folders.data, tmp_path / "model", tmp_path / "samples")


@pytest.mark.parametrize("statistics", [{"places": 1}, {}])
def test_a_model_with_statistics_of_another_version_is_named(made, tmp_path, statistics):
    folder, folders = made
    shutil.copytree(folders.model, tmp_path / "model")
    about = read(tmp_path / "model" / "model.json")
    del about["statistics"]["places"]
    about["statistics"] |= statistics
    (tmp_path / "model" / "model.json").write_text(json.dumps(about))
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    with pytest.raises(FlowsciError, match=r"its statistics are .*another version"):
        stages.sample(run, folders.data, tmp_path / "model", tmp_path / "samples")


def test_a_dataset_of_another_version_is_named(made, tmp_path):
    folder, folders = made
    shutil.copytree(folders.data, tmp_path / "data")
    manifest = read(tmp_path / "data" / "manifest.json")
    manifest["version"] -= 1
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    with pytest.raises(FlowsciError, match=r"another version of flowsci\. Prepare the dataset"):
        stages.sample(run, tmp_path / "data", folders.model, tmp_path / "samples")
    with pytest.raises(FlowsciError, match="Prepare the dataset"):
        stages.evaluate(run, tmp_path / "data", folders.samples, tmp_path / "evaluation")


def test_samples_of_another_preparation_are_not_judged(made, tmp_path):
    folder, folders = made
    settings = yaml.safe_load((folder / "config/data/trajectories/made.yaml").read_text())
    settings["tracks"]["origin_longitude_degrees"] += 1
    data_file = tmp_path / "trajectories" / "made.yaml"
    data_file.parent.mkdir()
    data_file.write_text(yaml.safe_dump(settings))
    stages.prepare(load_data(data_file), tmp_path / "data")
    run = load_run(folder / "config/runs/trajectories/made.yaml")
    with pytest.raises(FlowsciError, match="not drawn for the dataset"):
        stages.evaluate(run, tmp_path / "data", folders.samples, tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLOWSCI_CACHE", str(tmp_path / "file" / "cache"))
    data = load_data(Path(__file__).parent.parent / "config/data/trajectories/quickstart.yaml")
    with pytest.raises(FlowsciError, match="FLOWSCI_CACHE"):
        stages.acquire(data)


def test_a_training_that_is_told_to_stop_goes_on_later(made, tmp_path):
    folder, folders = made
    path = write_run(folder, "long", training={"steps": 400, "validate_every_steps": 400})
    command = [sys.executable, "-m", "flowsci", "train", str(path)]
    command += ["--data", str(folders.data), "--output", str(tmp_path / "model")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("step 0"):
            break
    time.sleep(0.5)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - asked < 10
    assert "run again to go on" in message
    assert "Traceback" not in message
    assert names(tmp_path) == {".training"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "training goes on from step" in done.stderr
    assert names(tmp_path) == {"model"}
    assert read(tmp_path / "model" / "model.json")["trained"]["steps"] == 400
