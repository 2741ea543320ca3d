from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


wildcard_constraints:
    domain=one_of(run.domain.name for run in RUNS.values()),
    run=one_of(run.name for run in RUNS.values()),
    data=one_of(run.data.name for run in RUNS.values()),
    study=one_of(study_names()),
    chunk=r"\d+",
    chunks=r"\d+",
    shard=r"\d+",
    shards=r"\d+",


pathvars:
    results=SETTINGS.results,
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        "<results>/report.html",
    localrule: True


include: "workflow/rules/prepare.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


for target, outputs in stage_targets().items():

    rule:
        name:
            target
        input:
            outputs,
        localrule: True
