"""Run and dataset files as a whole: each file's place, domain and dataset are checked."""

from pathlib import Path

import pytest
import yaml

from flowsci.domains import domain_names, find_domain
from flowsci.errors import FlowsciError
from flowsci.runs import load_data, load_run

CONFIG = Path(__file__).parent.parent / "config"


@pytest.fixture
def config(tmp_path):
    """The project's own settings, copied so that they can be broken."""
    for path in CONFIG.rglob("*.yaml"):
        target = tmp_path / path.relative_to(CONFIG)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return tmp_path


@pytest.mark.parametrize("path", sorted((CONFIG / "runs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_run_file_of_the_project_is_right(path):
    run = load_run(path)
    assert run.domain.name == path.parent.name
    assert run.settings.data == run.data.name


def test_every_run_of_the_project_is_made_by_a_target():
    settings = yaml.safe_load((CONFIG / "config.yaml").read_text())
    made = {*settings["runs"], *(run for of in settings["studies"].values() for run in of["runs"])}
    for name in tuple(made):
        run = load_run(CONFIG / "runs" / f"{name}.yaml").settings
        sources = (getattr(run, key, None) for key in ("teacher", "trained_by"))
        made |= {f"{run.domain}/{source}" for source in sources if source is not None}
    paths = (CONFIG / "runs").rglob("*.yaml")
    assert {f"{path.parent.name}/{path.stem}" for path in paths} == made


@pytest.mark.parametrize("path", sorted((CONFIG / "data").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_dataset_file_of_the_project_is_right(path):
    assert load_data(path).settings.domain == path.parent.name


@pytest.mark.parametrize("name", domain_names())
def test_every_domain_has_a_demo_and_a_version_for_each_stage(name):
    assert (CONFIG / "runs" / name / "demo.yaml").is_file()
    stages = {"prepare", "train", "sample", "evaluate"}
    assert stages <= set(find_domain(name).versions) <= stages | {"simulate"}


def test_a_stage_reads_its_own_sections_only():
    run = load_run(CONFIG / "runs/trajectories/demo.yaml").settings
    assert set(run.of_stage("train")) == {"teacher", "network", "flow", "training"}
    assert set(run.of_stage("sample")) == {"sampling"}
    assert set(run.of_stage("evaluate")) == {"evaluation"}


def test_where_and_in_which_portions_decides_nothing():
    run = load_run(CONFIG / "runs/trajectories/demo.yaml").settings
    training = run.training.model_copy(update={"device": "cpu", "snapshot_minutes": 3.0})
    sampling = run.sampling.model_copy(update={"device": "cpu", "batch_size": 3})
    other = run.model_copy(update={"training": training, "sampling": sampling})
    for stage in ("train", "sample", "evaluate"):
        assert other.deciding(stage) == run.deciding(stage)
    assert other.of_stage("train") != run.of_stage("train")
    assert "seed" in run.deciding("sample")["sampling"]


def demo(config):
    return config / "runs" / "trajectories" / "demo.yaml"


def test_a_dataset_of_another_domain_is_named(config):
    other = config / "data" / "weather" / "storms.yaml"
    other.parent.mkdir(exist_ok=True)
    other.write_text("domain: weather\n")
    path = demo(config)
    path.write_text(path.read_text().replace("data: quickstart", "data: storms"))
    with pytest.raises(FlowsciError) as caught:
        load_run(path)
    message = str(caught.value)
    assert str(path) in message
    assert "dataset of weather" in message
    assert "Datasets of trajectories: " in message
    assert ", quickstart, " in message


def test_a_run_in_the_wrong_folder_is_named(config):
    path = config / "runs" / "weather" / "demo.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(demo(config).read_text())
    with pytest.raises(FlowsciError, match="lies in the folder 'weather'"):
        load_run(path)


def test_an_unknown_domain_is_named(config):
    path = demo(config)
    path.write_text(path.read_text().replace("domain: trajectories", "domain: trajectory"))
    with pytest.raises(FlowsciError, match=r"no domain 'trajectory'.*trajectories"):
        load_run(path)


@pytest.mark.parametrize("teacher", ["demo", "nobody"])
def test_a_teacher_is_another_run_of_the_domain(config, teacher):
    path = demo(config)
    path.write_text(path.read_text() + f"teacher: {teacher}\nflow: {{kind: student}}\n")
    with pytest.raises(FlowsciError, match=f"teacher: '{teacher}' is not another run"):
        load_run(path)


def test_a_run_may_use_the_model_of_another(config):
    other = demo(config).with_stem("other")
    other.write_text("extends: demo\ntrained_by: demo\n")
    assert (load_run(other).model, load_run(demo(config)).model) == ("demo", "demo")
    other.write_text("extends: demo\ntrained_by: nobody\n")
    with pytest.raises(FlowsciError, match="trained_by: 'nobody' is not another run"):
        load_run(other)


def test_what_samples_another_runs_model_is_held_against_that_run(config):
    graphs = config / "runs" / "molecules" / "graphs.yaml"
    graphs.with_stem("judged").write_text(
        "extends: properties\ntrained_by: properties\nteacher: null\nsampling: {guidance: 1}\n"
    )
    assert load_run(graphs.with_stem("judged")).model == "properties"
    graphs.with_stem("again").write_text(
        "extends: graphs\ntrained_by: graphs\nsampling: {order: confident}\n"
    )
    with pytest.raises(FlowsciError, match=r"with the model of .*graphs.*order without effect"):
        load_run(graphs.with_stem("again"))


@pytest.mark.parametrize("name", ["data", "sources", "studies"])
def test_reserved_names_are_refused(config, name):
    path = demo(config).rename(demo(config).with_stem(name))
    with pytest.raises(FlowsciError, match="rename the file"):
        load_run(path)


@pytest.mark.parametrize("section", ["flow:", "flow: words", "network:"])
def test_an_empty_section_is_named_with_its_file(config, section):
    path = config / "runs" / "weather" / "empty.yaml"
    path.write_text(f"extends: demo\n{section}\n")
    with pytest.raises(FlowsciError, match=r"empty\.yaml: (flow|network).*valid dictionary"):
        load_run(path)


def test_a_run_without_a_model_of_its_own_gives_none(config):
    path = config / "runs" / "trajectories" / "third.yaml"
    path.write_text("extends: eth_ucy_eth\ntrained_by: eth_ucy_eth_flow\n")
    with pytest.raises(FlowsciError, match=r"trained_by: 'eth_ucy_eth_flow' has no model of its"):
        load_run(path)


def test_a_run_over_pixels_gives_its_lengths(config):
    data = config / "data/trajectories/eth_ucy_eth.yaml"
    content = yaml.safe_load(data.read_text())
    content["tracks"] = {"kind": "sdd"}
    data.write_text(yaml.safe_dump(content))
    path = config / "runs/trajectories/eth_ucy_eth.yaml"
    with pytest.raises(
        FlowsciError, match=r"yaml: evaluation\.miss_radius, evaluation\.collision_radius: .*pixels"
    ):
        load_run(path)
    run = yaml.safe_load(path.read_text())
    run["evaluation"] = {"miss_radius": 50, "collision_radius": 10}
    path.write_text(yaml.safe_dump(run))
    assert load_run(path).settings.evaluation.miss_radius == 50
    del run["training"]["shift"]
    path.write_text(yaml.safe_dump(run))
    with pytest.raises(FlowsciError, match=r"training\.shift: the positions of the dataset"):
        load_run(path)
