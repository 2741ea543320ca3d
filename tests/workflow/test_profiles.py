"""Profiles: every key is an option of Snakemake, and the traps of clusters are avoided."""

import pytest
import yaml
from snakemake.cli import get_argument_parser

from .conftest import ROOT, Project

PROFILES = {
    path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "workflow/profiles").glob("*/config.yaml"))
}


def test_there_is_one_for_each_kind_of_machine():
    assert sorted(PROFILES) == ["default", "kubernetes", "slurm"]


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option(name: str):
    options = get_argument_parser()._option_string_actions
    keys = [key for key in PROFILES[name] if not key.startswith("slurm-")]
    assert [key for key in keys if f"--{key}" not in options] == []


@pytest.mark.parametrize("name", PROFILES)
def test_interrupted_outputs_are_made_again(name: str):
    assert PROFILES[name]["rerun-incomplete"] is True
    assert "retries" in PROFILES[name]


def test_slurm_jobs_are_watched_by_squeue_and_requeued():
    slurm = PROFILES["slurm"]
    assert slurm["slurm-status-command"] == "squeue"
    assert slurm["slurm-requeue"] is True
    assert slurm["retries"] == 3


def test_slurm_options_are_known_to_the_plugin(project: Project):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    done = project.snakemake(
        "--dry-run", "--workflow-profile", str(ROOT / "workflow/profiles/slurm")
    )
    assert done.returncode == 0, done.stderr
