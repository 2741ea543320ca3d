"""The stages as commands. Heavy imports stay inside the commands, so that help is instant."""

import json
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from flowsci.errors import FlowsciError, Interrupted

app = typer.Typer(
    name="flowsci",
    help="Prepare data, train flow-matching models, draw samples, judge and report them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataFile = Annotated[
    Path, typer.Argument(help="Dataset file, config/data/<domain>/<data>.yaml.", show_default=False)
]
RunFile = Annotated[
    Path, typer.Argument(help="Run file, config/runs/<domain>/<run>.yaml.", show_default=False)
]
Results = Annotated[Path, typer.Option(help="Folder of all results; the others default to it.")]
Output = Annotated[
    Path | None, typer.Option(help="Folder to make; by default its place below --results.")
]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the prepared dataset.")]
ModelFolder = Annotated[Path | None, typer.Option("--model", help="Folder of the trained model.")]
SamplesFolder = Annotated[
    Path | None, typer.Option("--samples", help="Folder of the generated dataset.")
]
EvaluationFolder = Annotated[
    Path | None, typer.Option("--evaluation", help="Folder of measures and figures.")
]
Threads = Annotated[
    int,
    typer.Option(
        min=1, envvar="OMP_NUM_THREADS", help="Threads of the arithmetic; at best one a core."
    ),
]
RESULTS = Path("results")


@app.command()
def acquire(
    data_file: DataFile,
    receipt: Annotated[
        Path | None, typer.Option(help="JSON file to write: the fetched files and checksums.")
    ] = None,
) -> None:
    """Fetch a dataset's raw files into the cache (needs a network the first time)."""
    from flowsci import stages
    from flowsci.runs import load_data

    files = stages.acquire(load_data(data_file))
    for path, checksum in files.items():
        typer.echo(f"{checksum}  {path}")
    if receipt is not None:
        receipt.parent.mkdir(parents=True, exist_ok=True)
        partial = receipt.with_name(f".{receipt.name}.{os.getpid()}")
        partial.write_text(json.dumps(dict(files), indent=2) + "\n", encoding="utf-8")
        partial.replace(receipt)


@app.command()
def simulate(
    data_file: DataFile,
    results: Results = RESULTS,
    output: Output = None,
    chunk: Annotated[
        int | None,
        typer.Option(min=0, help="Compute this chunk only (0-based); without it, all, joined."),
    ] = None,
    threads: Threads = 1,
) -> None:
    """Compute a dataset of the kind `simulate`; run again after an interruption, it goes on."""
    _set_threads(threads)
    from flowsci import stages
    from flowsci.runs import load_data

    data = load_data(data_file)
    place = results / data.domain.name / "simulated"
    if chunk is None:
        stages.simulate(data, output or place / data.name)
        return
    count = getattr(data.settings.source, "chunks", 0)
    folder = output or place / f"{data.name}-chunks" / f"{chunk}-of-{count}"
    stages.simulate_chunk(data, chunk, folder)


@app.command()
def join(
    data_file: DataFile,
    chunks: Annotated[
        list[Path], typer.Argument(help="Folders of all chunks.", show_default=False)
    ],
    results: Results = RESULTS,
    output: Output = None,
) -> None:
    """Join the chunks of a simulated dataset."""
    from flowsci import stages
    from flowsci.runs import load_data

    data = load_data(data_file)
    stages.join_chunks(data, chunks, output or results / data.domain.name / "simulated" / data.name)


@app.command()
def prepare(
    data_file: DataFile,
    results: Results = RESULTS,
    output: Output = None,
    simulated: Annotated[
        Path | None, typer.Option(help="Folder of the simulated dataset, where the source is one.")
    ] = None,
) -> None:
    """Make a prepared dataset: arrays, manifest and card."""
    from flowsci import stages
    from flowsci.runs import load_data

    data = load_data(data_file)
    place = results / data.domain.name
    if simulated is None and data.settings.source.kind == "simulate":
        simulated = place / "simulated" / data.name
    stages.prepare(data, output or place / "data" / data.name, simulated)


@app.command()
def train(
    run_file: RunFile,
    results: Results = RESULTS,
    data: DataFolder = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of the trained model that the run learns from, if it does."),
    ] = None,
    output: Output = None,
    threads: Threads = 1,
) -> None:
    """Train a run's model; run again after an interruption, it goes on where it was."""
    _set_threads(threads)
    from flowsci import stages
    from flowsci.runs import load_run

    run = load_run(run_file)
    place = results / run.domain.name
    if teacher is None and run.settings.teacher is not None:
        teacher = place / run.settings.teacher / "model"
    data_folder = data or place / "data" / run.data.name
    stages.train(run, data_folder, output or place / run.name / "model", teacher)


@app.command()
def sample(
    run_file: RunFile,
    results: Results = RESULTS,
    data: DataFolder = None,
    model: ModelFolder = None,
    output: Output = None,
    shard: Annotated[
        int | None,
        typer.Option(
            min=0, help="Draw this shard only (0-based); without it, all of them, merged."
        ),
    ] = None,
    threads: Threads = 1,
) -> None:
    """Draw samples from a trained model and write them in the field's formats."""
    _set_threads(threads)
    from flowsci import stages
    from flowsci.runs import load_run

    run = load_run(run_file)
    place = results / run.domain.name
    data_folder = data or place / "data" / run.data.name
    model_folder = model or place / run.model / "model"
    if shard is None:
        stages.sample(run, data_folder, model_folder, output or place / run.name / "samples")
        return
    name = f"{shard}-of-{run.settings.sampling.shards}"
    shard_folder = output or place / run.name / "shards" / name
    stages.sample_shard(run, data_folder, model_folder, shard, shard_folder)


@app.command()
def merge(
    run_file: RunFile,
    shards: Annotated[
        list[Path], typer.Argument(help="Folders of all shards of the run.", show_default=False)
    ],
    results: Results = RESULTS,
    data: DataFolder = None,
    model: ModelFolder = None,
    output: Output = None,
) -> None:
    """Join the shards of a run into the dataset in the field's formats."""
    from flowsci import stages
    from flowsci.runs import load_run

    run = load_run(run_file)
    place = results / run.domain.name
    stages.merge(
        run,
        data or place / "data" / run.data.name,
        model or place / run.model / "model",
        shards,
        output or place / run.name / "samples",
    )


@app.command()
def evaluate(
    run_file: RunFile,
    results: Results = RESULTS,
    data: DataFolder = None,
    samples: SamplesFolder = None,
    output: Output = None,
) -> None:
    """Judge a generated dataset beside the reference data and baselines; draw its figures."""
    from flowsci import stages
    from flowsci.runs import load_run

    run = load_run(run_file)
    place = results / run.domain.name
    stages.evaluate(
        run,
        data or place / "data" / run.data.name,
        samples or place / run.name / "samples",
        output or place / run.name / "evaluation",
    )


@app.command()
def report(
    run_file: RunFile,
    results: Results = RESULTS,
    data: DataFolder = None,
    model: ModelFolder = None,
    samples: SamplesFolder = None,
    evaluation: EvaluationFolder = None,
    output: Output = None,
) -> None:
    """Write a run's measures and provenance as pages of the report."""
    from flowsci import report as pages
    from flowsci.runs import load_run

    run = load_run(run_file)
    place = results / run.domain.name
    folders = pages.Folders(
        data=data or place / "data" / run.data.name,
        model=model or place / run.model / "model",
        samples=samples or place / run.name / "samples",
        evaluation=evaluation or place / run.name / "evaluation",
    )
    pages.report(run, folders, output or place / run.name / "report")


@app.command()
def compare(
    evaluations: Annotated[
        list[Path],
        typer.Argument(help="Folders of evaluations, .../<run>/evaluation.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="Folder to make.")],
    title: Annotated[str, typer.Option(help="What the comparison shows.")] = "Runs compared",
    mean: Annotated[bool, typer.Option("--mean", help="Add the mean over the runs.")] = False,
) -> None:
    """Put the measures of several runs into one table: CSV and HTML."""
    from flowsci import comparison

    table = comparison.compare(evaluations, title, output, mean=mean)
    typer.echo(table.to_string(index=False))


@app.command()
def doctor() -> None:
    """Say what this machine has: devices, cores, memory, versions, cache, missing extras."""
    from flowsci.doctor import examine

    for name, finding in examine().items():
        typer.echo(f"{name:20} {finding}")


def _set_threads(threads: int) -> None:
    """Bound the threads of every library before torch is imported."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through the `finally` blocks, so that locks and half-made folders go away."""
    raise Interrupted(f"stopped by {signal.Signals(number).name}; run again to go on.", number)


def main() -> None:
    """Run a command; a user's error is one message and exit status 2, never a traceback."""
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except FlowsciError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except Interrupted as interruption:
        typer.echo(f"Interrupted: {interruption}", err=True)
        sys.exit(interruption.exit_status)
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        sys.exit(130)
