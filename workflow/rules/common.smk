import json
import math
import shlex
import sys
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from flowsci.errors import FlowsciError
from flowsci.report import VERSION as REPORT_VERSION
from flowsci.runs import load_run
from flowsci.settings import WorkflowSettings
from flowsci.settings_files import check_settings

OUTPUTS = {
    "prepare": "<results>/{domain}/data/{data}",
    "train": "<results>/{domain}/{run}/model",
    "sample": "<results>/{domain}/{run}/samples",
    "evaluate": "<results>/{domain}/{run}/evaluation",
    "report": "<results>/{domain}/{run}/report",
}
SPARE_MINUTES = 15
REPORT_TEXTS = Path(workflow.basedir) / "workflow" / "report"
CONFIG_FILES = ", ".join(map(str, workflow.configfiles))
STUDY = "<results>/{domain}/studies/{study}"
CHUNK = "<results>/{domain}/simulated/{data}-chunks/{chunk}-of-{chunks}"
SIMULATED = "<results>/{domain}/simulated/{data}"
SHARD = "<results>/{domain}/{run}/shards/{shard}-of-{shards}"


def read_settings():
    """Give the workflow's settings and its runs; a mistake stops here, before any job."""
    try:
        settings = check_settings(config, WorkflowSettings, CONFIG_FILES)
        runs = {}
        compared = chain.from_iterable(
            study.runs for study in settings.studies.values()
        )
        for name in chain(settings.runs, compared):
            while name not in runs:
                runs[name] = load_run(Path("config/runs") / f"{name}.yaml")
                settings_of_run = runs[name].settings
                other = settings_of_run.teacher or settings_of_run.trained_by
                name = f"{runs[name].domain.name}/{other}" if other else name
    except FlowsciError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    return settings, runs


def caption_files():
    """Give the files that the report's text comes from."""
    return sorted(str(path) for path in REPORT_TEXTS.rglob("*.rst"))


def read_captions():
    """Give the captions of figures by domain and figure: `<domain>/<figure>.rst`."""
    captions = {}
    for path in map(Path, caption_files()):
        captions.setdefault(path.parent.name, {})[path.stem] = path.read_text("utf-8")
    return captions


SETTINGS, RUNS = read_settings()
# Captions are rendered with nothing but a job and the configuration at hand.
config["captions"] = read_captions()


# `python -m flowsci` means this checkout, run by this Python unless jobs bring their own.
PYTHON_PATHS = {"PYTHONPATH": str(workflow.basedir)}
if not workflow.deployment_settings.deployment_method:
    PYTHON_PATHS["PATH"] = str(Path(sys.executable).parent)
EXPORTS = " ".join(
    f"export {name}={shlex.quote(path)}${{{name}:+:${name}}};"
    for name, path in PYTHON_PATHS.items()
)
shell.prefix("{EXPORTS} ")


def one_of(names):
    """Give the pattern that matches exactly these names."""
    return "|".join(sorted(set(names)))


def run_of(wildcards):
    name = f"{wildcards.domain}/{wildcards.run}"
    if name not in RUNS:
        raise WorkflowError(f"{name} is not among `runs` of {CONFIG_FILES}.")
    return RUNS[name]


def runs_of_data(wildcards):
    """Give the names of the runs that use a dataset."""
    wanted = (wildcards.domain, wildcards.data)
    names = [
        name for name, run in RUNS.items() if (run.domain.name, run.data.name) == wanted
    ]
    if not names:
        raise WorkflowError(f"No run uses the dataset {'/'.join(wanted)}.")
    return names


def data_of(wildcards):
    return RUNS[runs_of_data(wildcards)[0]].data


def data_settings(wildcards):
    """Give all settings of a dataset, defaults filled in, as JSON."""
    return as_json(data_of(wildcards).settings.model_dump(mode="json"))


def source_settings(wildcards):
    """Give where a dataset's raw files come from, as JSON."""
    return as_json(data_of(wildcards).settings.source.model_dump(mode="json"))


def simulation_settings(wildcards):
    """Give what the simulation of a dataset reads, as JSON."""
    return as_json(data_of(wildcards).settings.of_simulation())


def chunks_of(wildcards):
    """Give the folders of all chunks of a simulated dataset."""
    chunks = data_of(wildcards).settings.source.chunks
    return [
        CHUNK.format(**wildcards, chunk=chunk, chunks=chunks) for chunk in range(chunks)
    ]


def simulated_data(wildcards):
    """Give the folder of the simulated dataset that preparation reads, where it reads one."""
    if data_of(wildcards).settings.source.kind != "simulate":
        return []
    return SIMULATED.format(**wildcards)


def users_files(wildcards):
    """Give a dataset's files that the user brings: a change in them re-makes what they gave."""
    source = data_of(wildcards).settings.source
    path = getattr(getattr(source, "inputs", None) or source, "path", None)
    if path is None:
        return []
    path = path.expanduser()
    if not path.is_dir():
        # where it is missing, it is named as a missing input
        return [str(path)]
    return sorted(str(file) for file in path.rglob("*") if file.is_file())


def condition_files(wildcards):
    """Give the files of the user that a run's conditions are read from."""
    return [str(path) for path in run_of(wildcards).settings.sampling.files()]


def stage_settings(stage):
    """Give what a stage's results depend on in a run file, defaults filled in, as JSON."""
    return lambda wildcards: as_json(run_of(wildcards).settings.deciding(stage))


def report_settings(wildcards):
    """Give what the report reads of a run file, as JSON."""
    return as_json({"title": run_of(wildcards).settings.title})


def as_json(value):
    return json.dumps(value, sort_keys=True)


def version_of(stage):
    """Give the version of a domain's code for a stage."""
    return lambda wildcards: next(
        run.domain.versions[stage]
        for run in RUNS.values()
        if run.domain.name == wildcards.domain
    )


def prepared_data(wildcards):
    """Give the folder of the prepared dataset that a run uses."""
    return OUTPUTS["prepare"].format(
        domain=wildcards.domain, data=run_of(wildcards).data.name
    )


def model_of(wildcards):
    """Give the folder of the trained model that a run uses."""
    return OUTPUTS["train"].format(domain=wildcards.domain, run=run_of(wildcards).model)


def teacher_model(wildcards):
    """Give the folder of the trained model that a run learns from, if it does."""
    teacher = run_of(wildcards).settings.teacher
    if teacher is None:
        return []
    return OUTPUTS["train"].format(domain=wildcards.domain, run=teacher)


def compared_evaluations(wildcards):
    """Give the evaluations that a study compares."""
    return [
        OUTPUTS["evaluate"].format(domain=RUNS[name].domain.name, run=RUNS[name].name)
        for name in study_of(wildcards).runs
    ]


def study_names():
    """Give the names of the studies without their domains; `none` where there is no study."""
    return [Path(study).name for study in SETTINGS.studies] or ["none"]


def study_of(wildcards):
    return SETTINGS.studies[f"{wildcards.domain}/{wildcards.study}"]


def study_title(wildcards):
    return study_of(wildcards).title


def study_mean(wildcards):
    """Give the option that adds the mean, for a study of folds or seeds."""
    return "--mean" if study_of(wildcards).mean else ""


def shards_of(wildcards):
    """Give the folders of all shards of a run's samples."""
    shards = run_of(wildcards).settings.sampling.shards
    return [
        SHARD.format(**wildcards, shard=shard, shards=shards) for shard in range(shards)
    ]


def size_of(wildcards, stage):
    """Give the resource class of a job; preparation takes the largest of the runs it serves."""
    if stage == "prepare":
        classes = [
            SETTINGS.resource_class(name, stage) for name in runs_of_data(wildcards)
        ]
        return max(classes, key=lambda size: size.memory_mb)
    return SETTINGS.resource_class(f"{wildcards.domain}/{wildcards.run}", stage)


def threads_for(stage):
    return lambda wildcards: size_of(wildcards, stage).threads


def memory_mb_for(stage):
    """Give a job's memory, more at each attempt."""
    return lambda wildcards, attempt: size_of(wildcards, stage).memory_mb * attempt


def minutes_for(stage):
    """Give a job's time, more at each attempt: but for training, it begins anew."""
    return lambda wildcards, attempt: size_of(wildcards, stage).minutes * attempt


def training_minutes(wildcards):
    """Give a training's job the time that its run allows, and some to start and to validate."""
    allowed = math.ceil(run_of(wildcards).settings.training.minutes) + SPARE_MINUTES
    return max(size_of(wildcards, "train").minutes, allowed)


def gpus_for(stage):
    return lambda wildcards: size_of(wildcards, stage).gpus


def listed_runs():
    """Give the runs that are made without asking for more: not those of studies only."""
    return [RUNS[name] for name in SETTINGS.runs]


def outputs_of(stage, domain=None):
    """Give the outputs of a stage, each once, of all runs or of those of one domain."""
    outputs = (
        OUTPUTS[stage].format(
            domain=run.domain.name,
            run=run.model if stage == "train" else run.name,
            data=run.data.name,
        )
        for run in listed_runs()
        if domain in (None, run.domain.name)
    )
    return list(dict.fromkeys(outputs))


def stage_targets():
    """Give what to make by target: `sample`, `weather_sample`, `weather`, and each study."""
    targets = {stage: outputs_of(stage) for stage in OUTPUTS}
    for domain in dict.fromkeys(run.domain.name for run in listed_runs()):
        targets[domain] = outputs_of("report", domain)
        targets |= {f"{domain}_{stage}": outputs_of(stage, domain) for stage in OUTPUTS}
    for study, settings in SETTINGS.studies.items():
        domain, name = study.split("/")
        reports = [
            OUTPUTS["report"].format(domain=domain, run=run.split("/")[1])
            for run in settings.runs
        ]
        targets[f"{domain}_{name}"] = [
            STUDY.format(domain=domain, study=name),
            *reports,
        ]
    return targets


def overlays():
    """Give the settings of this call's command line, for a call of Snakemake within it."""
    given = workflow.config_settings
    words = []
    if given.configfiles:
        words += ["--configfile", *map(str, given.configfiles)]
    if given.config_args:
        words += ["--config", *given.config_args]
    return shlex.join(words)
