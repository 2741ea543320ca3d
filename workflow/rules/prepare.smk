rule acquire:
    input:
        users_files,
    output:
        "<results>/{domain}/sources/{data}.json",
    log:
        "<logs>/{domain}/data/{data}/acquire.log",
    benchmark:
        "<benchmarks>/{domain}/data/{data}/acquire.tsv"
    localrule: True
    conda:
        "../../envs/flowsci.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb_for("prepare"),
        runtime=minutes_for("prepare"),
    params:
        settings=source_settings,
    shell:
        "exec python -m flowsci acquire"
        " config/data/{wildcards.domain}/{wildcards.data}.yaml"
        " --receipt {output} > {log} 2>&1"


rule prepare_data:
    input:
        receipt=rules.acquire.output,
        simulated=simulated_data,
    output:
        directory(OUTPUTS["prepare"]),
    log:
        "<logs>/{domain}/data/{data}/prepare.log",
    benchmark:
        "<benchmarks>/{domain}/data/{data}/prepare.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: threads_for("prepare")
    resources:
        mem_mb=memory_mb_for("prepare"),
        runtime=minutes_for("prepare"),
    params:
        settings=data_settings,
        simulated=lambda wildcards, input: (
            f"--simulated {input.simulated}" if input.simulated else ""
        ),
        code_version=version_of("prepare"),
    shell:
        "exec python -m flowsci prepare"
        " config/data/{wildcards.domain}/{wildcards.data}.yaml"
        " {params.simulated} --output {output} > {log} 2>&1"
