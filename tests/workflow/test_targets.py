"""Which jobs a call takes, counted: a root Snakefile without a default target makes nothing."""

import pytest

from .conftest import CONFIG, JOBS, Project


def test_a_plain_call_makes_everything(project: Project):
    assert project.jobs() == JOBS


@pytest.mark.parametrize("target", ["sample", "trajectories_sample"])
def test_a_stage_takes_what_comes_before_it(project: Project, target: str):
    before = ("acquire", "prepare_data", "train_model", "sample_shard", "merge_shards")
    assert project.jobs(target) == {rule: JOBS[rule] for rule in before} | {target: 1}


def test_a_domain_takes_all_stages_of_its_runs(project: Project):
    whole = {rule: count for rule, count in JOBS.items() if rule not in ("all", "report_page")}
    assert project.jobs("trajectories") == whole | {"trajectories": 1}


def test_every_domain_and_stage_is_a_target(project: Project):
    done = project.snakemake("--list-target-rules")
    stages = ("prepare", "train", "sample", "evaluate", "report")
    expected = {"all", "trajectories", *stages, *(f"trajectories_{stage}" for stage in stages)}
    assert expected <= set(done.stdout.split())


def test_a_file_of_a_run_that_is_not_listed_is_refused(project: Project):
    done = project.snakemake("--dry-run", "results/trajectories/third/samples")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_results_may_lie_elsewhere(project: Project):
    project.write("overlay.yaml", {"results": "elsewhere"})
    jobs = project.jobs("elsewhere/trajectories/first/model", "--configfile", "overlay.yaml")
    assert jobs == {"acquire": 1, "prepare_data": 1, "train_model": 1}


def test_a_study_makes_its_runs_and_one_table(project: Project):
    study = {"title": "Both", "runs": ["trajectories/first", "trajectories/third"]}
    project.write_run("third")
    project.write("config/config.yaml", CONFIG | {"studies": {"trajectories/both": study}})
    assert project.jobs() == JOBS
    made = project.jobs("trajectories_both")
    assert made == {
        **{rule: JOBS[rule] for rule in JOBS if rule not in ("all", "report_page")},
        "compare_runs": 1,
        "trajectories_both": 1,
    }


def test_a_run_with_a_teacher_trains_the_teacher_first(project: Project):
    project.write_run("student", flow={"kind": "student"})
    student = project.folder / "config/runs/trajectories/student.yaml"
    student.write_text(student.read_text() + "teacher: third\n")
    project.write_run("third")
    project.write("config/config.yaml", CONFIG | {"runs": ["trajectories/student"]})
    jobs = project.jobs("results/trajectories/student/model")
    assert jobs == {"acquire": 1, "prepare_data": 1, "train_model": 2}
    assert project.jobs("train")["train_model"] == 2


def test_a_run_may_sample_the_model_of_another(project: Project):
    project.write_run("again", sampling={"shards": 3})
    again = project.folder / "config/runs/trajectories/again.yaml"
    again.write_text(again.read_text() + "trained_by: first\n")
    runs = ["trajectories/again", "trajectories/first"]
    project.write("config/config.yaml", CONFIG | {"runs": runs})
    jobs = project.jobs()
    assert (jobs["train_model"], jobs["sample_shard"], jobs["report_run"]) == (1, 5, 2)


@pytest.mark.parametrize(("minutes", "expected"), [(1, 30), (99.5, 115)])
def test_a_training_job_has_the_time_that_its_run_allows(
    project: Project, minutes: float, expected: int
):
    project.write_run("first", training={"minutes": minutes})
    done = project.snakemake("--dry-run", "results/trajectories/first/model")
    (job,) = [part for part in done.stdout.split("\n\n") if "rule train_model" in part]
    assert f"runtime={expected}," in job
