rule report_run:
    input:
        data=prepared_data,
        model=model_of,
        samples=rules.merge_shards.output,
        evaluation=rules.evaluate_samples.output,
    output:
        report(
            directory(OUTPUTS["report"]),
            patterns=["{page}.html"],
            caption="../report/page.rst",
            category="{domain}",
            subcategory="{run}",
            labels={"kind": "table", "name": "{page}"},
        ),
    log:
        "<logs>/{domain}/{run}/report.log",
    benchmark:
        "<benchmarks>/{domain}/{run}/report.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: threads_for("report")
    resources:
        mem_mb=memory_mb_for("report"),
        runtime=minutes_for("report"),
    params:
        settings=report_settings,
        code_version=REPORT_VERSION,
    shell:
        "exec python -m flowsci report"
        " config/runs/{wildcards.domain}/{wildcards.run}.yaml"
        " --data {input.data} --model {input.model} --samples {input.samples}"
        " --evaluation {input.evaluation} --output {output} > {log} 2>&1"


rule compare_runs:
    input:
        compared_evaluations,
    output:
        directory(STUDY),
    log:
        "<logs>/{domain}/studies/{study}.log",
    benchmark:
        "<benchmarks>/{domain}/studies/{study}.tsv"
    localrule: True
    conda:
        "../../envs/flowsci.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        title=study_title,
        mean=study_mean,
        code_version=2,
    shell:
        "exec python -m flowsci compare {input} --title {params.title:q} {params.mean}"
        " --output {output} > {log} 2>&1"


# Snakemake's own report of everything before it, made as its last job: so it stands after a plain
# `snakemake`, on every executor, and only when something in it has changed.
rule report_page:
    input:
        outputs_of("report"),
        captions=caption_files(),
        style=str(REPORT_TEXTS / "style.css"),
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    localrule: True
    conda:
        "../../envs/flowsci.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        snakefile=workflow.main_snakefile,
        overlays=overlays(),
        code_version=1,
    shell:
        "exec python -m snakemake report --snakefile {params.snakefile:q}"
        " --profile none --workflow-profile none {params.overlays}"
        " --report-stylesheet {input.style:q} --report {output} > {log} 2>&1"
