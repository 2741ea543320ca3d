rule evaluate_samples:
    input:
        data=prepared_data,
        samples=rules.merge_shards.output,
    output:
        report(
            directory(OUTPUTS["evaluate"]),
            patterns=["figures/{figure}.png"],
            caption="../report/figure.rst",
            category="{domain}",
            subcategory="{run}",
            labels={"kind": "figure", "name": "{figure}"},
        ),
    log:
        "<logs>/{domain}/{run}/evaluate.log",
    benchmark:
        "<benchmarks>/{domain}/{run}/evaluate.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: threads_for("evaluate")
    resources:
        mem_mb=memory_mb_for("evaluate"),
        runtime=minutes_for("evaluate"),
    params:
        settings=stage_settings("evaluate"),
        code_version=version_of("evaluate"),
    shell:
        "exec python -m flowsci evaluate"
        " config/runs/{wildcards.domain}/{wildcards.run}.yaml"
        " --data {input.data} --samples {input.samples} --output {output} > {log} 2>&1"
