rule sample_shard:
    input:
        data=prepared_data,
        model=model_of,
        conditions=condition_files,
    output:
        temp(directory(SHARD)),
    log:
        "<logs>/{domain}/{run}/sample/{shard}-of-{shards}.log",
    benchmark:
        "<benchmarks>/{domain}/{run}/sample/{shard}-of-{shards}.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: threads_for("sample")
    resources:
        mem_mb=memory_mb_for("sample"),
        runtime=minutes_for("sample"),
        gpu=gpus_for("sample"),
    params:
        settings=stage_settings("sample"),
        code_version=version_of("sample"),
    shell:
        "exec python -m flowsci sample"
        " config/runs/{wildcards.domain}/{wildcards.run}.yaml"
        " --data {input.data} --model {input.model} --shard {wildcards.shard}"
        " --output {output} --threads {threads} > {log} 2>&1"


rule merge_shards:
    input:
        data=prepared_data,
        model=model_of,
        shards=shards_of,
    output:
        directory(OUTPUTS["sample"]),
    log:
        "<logs>/{domain}/{run}/merge.log",
    benchmark:
        "<benchmarks>/{domain}/{run}/merge.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb_for("sample"),
        runtime=minutes_for("sample"),
    params:
        settings=stage_settings("sample"),
        code_version=version_of("sample"),
    shell:
        "exec python -m flowsci merge"
        " config/runs/{wildcards.domain}/{wildcards.run}.yaml"
        " --data {input.data} --model {input.model} --output {output}"
        " {input.shards} > {log} 2>&1"
