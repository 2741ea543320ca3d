"""What is made again after a change, by job counts on results that were made for real."""

import json
import re

from .conftest import DATA, JOBS, RUN, Project

REPORT = {"report_run": 1, "report_page": 1, "all": 1}
EVALUATE = {"evaluate_samples": 1, **REPORT}
SAMPLE = {"sample_shard": 2, "merge_shards": 1, **EVALUATE}


def test_outputs_are_whole_and_the_shards_gone(finished: Project):
    place = finished.folder / "results" / "trajectories"
    assert (place / "data/circles/manifest.json").is_file()
    for run in ("first", "second"):
        assert (place / run / "model/model.safetensors").is_file()
        assert (place / run / "samples/manifest.json").is_file()
        metrics = json.loads((place / run / "evaluation/metrics.json").read_text())["metrics"]
        assert "min_ade_20" in metrics
        assert not list((place / run / "shards").glob("*"))


def test_the_report_holds_figures_captions_and_measures(finished: Project):
    page = (finished.folder / "results/report.html").read_text(encoding="utf-8")
    for run in ("first", "second"):
        assert f"results/trajectories/{run}/report/metrics.html" in page
    assert "figures/scenes.png" in page
    assert "has no caption yet" not in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?https?:", page)


def test_a_second_run_has_nothing_to_do(finished: Project):
    assert finished.jobs() == {}


def test_another_form_of_the_same_settings_changes_nothing(copy: Project):
    sampling = {"seed": 0, "shards": 2, "device": "cpu", "batch_size": 7}
    copy.write_run("first", sampling=sampling, training={"snapshot_minutes": 2})
    copy.write("config/data/trajectories/circles.yaml", DATA | {"seed": 0})
    assert copy.jobs() == {}


def test_another_raw_file_redoes_everything(copy: Project):
    raw = copy.folder / "circles.json"
    raw.write_text(raw.read_text().replace("TEST1", "TEXT1"), encoding="utf-8")
    assert copy.jobs() == JOBS


def test_sampling_settings_redo_the_samples_of_that_run_only(copy: Project):
    copy.write_run("first", sampling={"shards": 2, "steps": 3})
    assert copy.jobs() == SAMPLE


def test_training_settings_do_not_redo_the_preparation(copy: Project):
    copy.write_run("first", sampling={"shards": 2}, training={"learning_rate": 0.01})
    assert copy.jobs() == {"train_model": 1, **SAMPLE}


def test_evaluation_settings_redo_the_evaluation(copy: Project):
    copy.write_run("first", sampling={"shards": 2}, evaluation={"bootstrap": 101})
    assert copy.jobs() == EVALUATE


def test_the_title_redoes_the_report(copy: Project):
    copy.write(
        "config/runs/trajectories/second.yaml",
        RUN | {"title": "Rings", "sampling": RUN["sampling"] | {"shards": 1}},
    )
    assert copy.jobs() == REPORT


def test_the_dataset_redoes_everything_that_was_made_from_it(copy: Project):
    copy.write("config/data/trajectories/circles.yaml", DATA | {"seed": 1})
    assert copy.jobs() == {rule: count for rule, count in JOBS.items() if rule != "acquire"}
