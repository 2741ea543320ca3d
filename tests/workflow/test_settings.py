"""Wrong settings stop before any job: one message, no traceback, exit status 2."""

from .conftest import CONFIG, Project


def assert_refused(project: Project, *expected: str) -> None:
    done = project.snakemake()
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert all(text in errors[0] for text in expected), errors
    assert "Traceback" not in done.stderr
    assert not (project.folder / "results").exists()


def test_unknown_key_of_the_workflow(project: Project):
    project.write("config/config.yaml", CONFIG | {"result": "here"})
    assert_refused(project, "config/config.yaml", "result", "results")


def test_unknown_key_of_a_run(project: Project):
    project.write_run("second", sampling={"step": 3})
    assert_refused(project, "config/runs/trajectories/second.yaml", "sampling.step", "steps")


def test_reserved_name_of_a_run(project: Project):
    project.write_run("data")
    project.write("config/config.yaml", CONFIG | {"runs": ["trajectories/data"]})
    assert_refused(project, "trajectories/data.yaml")


def test_missing_run_file(project: Project):
    project.write("config/config.yaml", CONFIG | {"runs": ["trajectories/absent"]})
    assert_refused(project, "config/runs/trajectories/absent.yaml", "no such file")


def test_unknown_resource_class(project: Project):
    project.write(
        "config/config.yaml", CONFIG | {"run_resources": {"trajectories/first": {"train": "huge"}}}
    )
    assert_refused(project, "config/config.yaml", "huge", "small")


def test_a_study_with_the_name_of_a_stage(project: Project):
    study = {"title": "Both", "runs": ["trajectories/first"]}
    project.write("config/config.yaml", CONFIG | {"studies": {"trajectories/sample": study}})
    assert_refused(project, "config/config.yaml", "trajectories/sample", "rename")
