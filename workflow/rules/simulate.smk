rule simulate_chunk:
    input:
        rules.acquire.output,
    output:
        temp(directory(CHUNK)),
    log:
        "<logs>/{domain}/data/{data}/simulate/{chunk}-of-{chunks}.log",
    benchmark:
        "<benchmarks>/{domain}/data/{data}/simulate/{chunk}-of-{chunks}.tsv"
    conda:
        "../../envs/flowsci.yaml"
    # Results are the same to the bit with one thread only.
    threads: 1
    resources:
        mem_mb=memory_mb_for("prepare"),
        runtime=minutes_for("prepare"),
    params:
        settings=simulation_settings,
        code_version=version_of("simulate"),
    shell:
        "exec python -m flowsci simulate"
        " config/data/{wildcards.domain}/{wildcards.data}.yaml"
        " --chunk {wildcards.chunk} --output {output} --threads {threads} > {log} 2>&1"


rule join_chunks:
    input:
        chunks_of,
    output:
        directory(SIMULATED),
    log:
        "<logs>/{domain}/data/{data}/join.log",
    benchmark:
        "<benchmarks>/{domain}/data/{data}/join.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb_for("prepare"),
        runtime=minutes_for("prepare"),
    params:
        settings=simulation_settings,
        code_version=version_of("simulate"),
    shell:
        "exec python -m flowsci join"
        " config/data/{wildcards.domain}/{wildcards.data}.yaml"
        " {input} --output {output} > {log} 2>&1"
