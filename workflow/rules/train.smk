rule train_model:
    input:
        data=prepared_data,
        teacher=teacher_model,
    output:
        directory(OUTPUTS["train"]),
    log:
        "<logs>/{domain}/{run}/train.log",
    benchmark:
        "<benchmarks>/{domain}/{run}/train.tsv"
    conda:
        "../../envs/flowsci.yaml"
    threads: threads_for("train")
    resources:
        mem_mb=memory_mb_for("train"),
        runtime=training_minutes,
        gpu=gpus_for("train"),
    params:
        settings=stage_settings("train"),
        teacher=lambda wildcards, input: (
            f"--teacher {input.teacher}" if input.teacher else ""
        ),
        code_version=version_of("train"),
    # exec: a scheduler's SIGTERM reaches the training itself, which then saves its state.
    shell:
        "exec python -m flowsci train"
        " config/runs/{wildcards.domain}/{wildcards.run}.yaml"
        " --data {input.data} --output {output} --threads {threads}"
        " {params.teacher} > {log} 2>&1"
