"""The stages of the workflow: each reads folders and leaves one, whole or not at all."""

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.errors import FlowsciError
from flowsci.progress import progress
from flowsci.runs import Data, Run
from flowsci.settings import SimulateSource
from flowsci.settings_files import check_section
from flowsci.store import cards, manifests, samples
from flowsci.store.acquire import acquire as acquire_source
from flowsci.store.acquire import cache_folder
from flowsci.store.checksums import of_file
from flowsci.store.names import below_shared_folder
from flowsci.store.prepared import Prepared, open_prepared, write_prepared
from flowsci.store.provenance import Clock
from flowsci.store.staging import exclusive, replacing, staged

if TYPE_CHECKING:
    import torch
    import xarray

    from flowsci.domains.contract import Model, Simulated

logger = logging.getLogger("flowsci")
CHUNK_KIND = "chunk of a simulated dataset"
SIMULATED_KIND = "simulated dataset"


def acquire(data: Data) -> Mapping[str, str]:
    """Fetch the raw files of a dataset into the cache; give their checksums by path."""
    cache = cache_folder()
    try:
        files = acquire_source(data.settings.source, cache)
        return {str(path): of_file(path) for path in files}
    except OSError as error:
        raise FlowsciError(
            f"The files of {data.path} cannot be had: {error}. Make room and give yourself the "
            f"rights, or name another folder than {cache} in FLOWSCI_CACHE."
        ) from None


def simulate_chunk(data: Data, chunk: int, output: Path) -> None:
    """Compute one chunk (0-based) of a `simulate` source; if interrupted, it goes on where it was.

    Raises `FlowsciError` where the source is of another kind or has no such chunk.
    """
    clock = Clock()
    chunks = _simulate_source(data).chunks
    if not 0 <= chunk < chunks:
        raise FlowsciError(f"There is no chunk {chunk}: {data.path} has {chunks}, from 0 on.")
    files = acquire(data)
    key = _simulation_key(data)
    unfinished = output.absolute().parent / ".simulating" / output.name
    work = unfinished / _key(key, sorted(files.values()))
    with exclusive(output):
        work.mkdir(parents=True, exist_ok=True)
        simulated = data.domain.simulate(data.settings, chunk, [Path(p) for p in files], work)
        with replacing(output) as folder:
            for name in simulated.files:
                shutil.copy2(work / name, folder / name)
            about = {"key": key, "chunk": chunk, "chunks": chunks}
            _write_simulated(data, CHUNK_KIND, folder, simulated, about, clock, _by_name(files))
        shutil.rmtree(unfinished, ignore_errors=True)
        # other chunks may be at work beside it
        with contextlib.suppress(OSError):
            unfinished.parent.rmdir()


def join_chunks(data: Data, chunks: Sequence[Path], output: Path) -> None:
    """Make one simulated dataset of all chunks."""
    clock = Clock()
    expected = _simulate_source(data).chunks
    manifests_found = [manifests.read(chunk, CHUNK_KIND, data.domain.name) for chunk in chunks]
    for chunk, manifest in zip(chunks, manifests_found, strict=True):
        if manifest["key"] != _simulation_key(data):
            raise FlowsciError(f"{chunk}: was simulated with other settings; redo it.")
    order = sorted(range(len(chunks)), key=lambda index: manifests_found[index]["chunk"])
    found = [manifests_found[index]["chunk"] for index in order]
    if found != list(range(expected)):
        raise FlowsciError(f"Chunks {found} are given, 0 to {expected - 1} are needed.")
    inputs = {f"{c.name}/{manifests.NAME}": of_file(c / manifests.NAME) for c in chunks}
    with staged(output) as folder:
        simulated = data.domain.join(data.settings, [chunks[index] for index in order], folder)
        _write_simulated(data, SIMULATED_KIND, folder, simulated, {}, clock, inputs)


def simulate(data: Data, output: Path) -> None:
    """Compute the chunks of a `simulate` source that are not yet there, one by one; join all."""
    count = _simulate_source(data).chunks
    place = output.absolute().with_name(f"{output.name}-chunks")
    chunks = [place / f"{chunk}-of-{count}" for chunk in range(count)]
    with exclusive(place):
        for chunk, folder in enumerate(chunks):
            if not _is_simulated(data, folder):
                simulate_chunk(data, chunk, folder)
        join_chunks(data, chunks, output)
        shutil.rmtree(place, ignore_errors=True)


def prepare(data: Data, output: Path, simulated: Path | None = None) -> None:
    """Make the prepared dataset of a dataset file in the folder `output`.

    `simulated` is the folder of the simulated dataset, for a `simulate` source.
    """
    clock = Clock()
    with staged(output) as folder:
        files = acquire(data) if simulated is None else _simulated_files(data, simulated)
        prepared = data.domain.prepare([Path(path) for path in files], data.settings)
        settings = data.settings.model_dump(mode="json")
        about = {
            "domain": data.domain.name,
            "name": data.name,
            "version": data.domain.versions["prepare"],
            **{key: settings[key] for key in ("title", "licence", "citation")},
            "provenance": clock.provenance(
                "prepare",
                settings=settings,
                inputs=_by_name(files),
            ),
        }
        write_prepared(folder, prepared, about)


def train(run: Run, data_folder: Path, output: Path, teacher_folder: Path | None = None) -> None:
    """Train a run's model on a prepared dataset; an interrupted training goes on where it was.

    `teacher_folder` holds the trained model of the run that this one names as its teacher.
    """
    import torch

    from flowsci.store.models import load_weights, write_model
    from flowsci.training import train as train_network
    from flowsci.training import write_history

    clock = Clock()
    settings = run.settings
    if settings.trained_by is not None:
        raise FlowsciError(f"{run.path}: is trained by the run '{run.model}'; train that one.")
    prepared, manifest = _open_data(run, data_folder)
    sections = settings.of_stage("train")
    teachers = [] if settings.teacher is None else [_teacher_of(run, teacher_folder)]
    key = _key(
        settings.deciding("train"),
        manifest["files"],
        run.domain.versions["train"],
        _inputs(*teachers),
    )
    unfinished = output.absolute().parent / ".training" / output.name
    work = unfinished / key
    with exclusive(output):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.training.seed)
            model = run.domain.model(settings.network, settings.flow, prepared.statistics)
        for folder in teachers:
            model.learn_from(_open_model(run, folder, torch.device("cpu")))
        validation = run.domain.batches(prepared, settings, "validation")
        trained = train_network(
            model.network,
            model.loss,
            run.domain.batches(prepared, settings, "train"),
            validation,
            settings.training,
            work,
        )
        load_weights(model.network, trained.state, work)
        with torch.no_grad():
            model.calibrate(model.network.cpu().eval(), validation)
        provenance = clock.provenance(
            "train",
            settings=sections,
            inputs=_inputs(data_folder, *teachers),
            device=trained.device,
        )
        description = {
            **_described(run, prepared, manifest, model),
            **trained.summary(),
            "provenance": provenance,
        }
        with replacing(output) as folder:
            write_model(folder, model.network.state_dict(), description)
            write_history(trained.history, folder / "history.csv")
        shutil.rmtree(unfinished, ignore_errors=True)
        # the trainings of other outputs may stand beside it
        with contextlib.suppress(OSError):
            unfinished.parent.rmdir()


def sample_shard(run: Run, data_folder: Path, model_folder: Path, shard: int, output: Path) -> None:
    """Draw one shard (0-based) of a run's samples."""
    import torch

    from flowsci.flow import sample_generators
    from flowsci.training import choose_device
    from flowsci.training.devices import out_of_memory

    clock = Clock()
    settings = run.settings.sampling
    device = choose_device(settings.device)
    prepared, _ = _open_data(run, data_folder)
    model = _open_model(run, model_folder, device)
    _check_data(model, prepared, data_folder, model_folder)
    conditions = run.domain.conditions(prepared, settings)
    wanted = samples.shard_range(len(conditions), shard, settings.shards)

    def parts() -> "Iterator[xarray.Dataset]":
        with progress("sampling", len(wanted), "conditions") as bar, torch.no_grad():
            for first in range(0, len(wanted), settings.batch_size):
                indices = wanted[first : first + settings.batch_size]
                batch = conditions.batch(indices)
                count = settings.samples
                generators = sample_generators(
                    settings.seed, [c * count + s for c in indices for s in range(count)]
                )
                on_device = {name: tensor.to(device) for name, tensor in batch.items()}
                drawn = model.sample(model.network, on_device, generators, settings)
                drawn = {name: tensor.cpu() for name, tensor in drawn.items()}
                yield run.domain.decode(drawn, batch, prepared)
                bar.advance(len(indices))

    mend = "Lower sampling.batch_size, which changes no sample."
    with staged(output) as folder, out_of_memory(device, mend):
        about = {
            "domain": run.domain.name,
            "key": _sampling_key(run, data_folder, model_folder),
            "shard": shard,
            "shards": settings.shards,
        }
        samples.write_shard(folder, parts(), about)
        provenance = clock.provenance(
            "sample",
            settings=run.settings.of_stage("sample"),
            inputs=_inputs(data_folder, model_folder),
            device=str(device),
        )
        manifest = manifests.read(folder, samples.SHARD_KIND, run.domain.name)
        manifests.write(folder, {**manifest, "provenance": provenance})


def merge(
    run: Run, data_folder: Path, model_folder: Path, shards: Sequence[Path], output: Path
) -> None:
    """Join the shards of a run and write the dataset in the field's formats."""
    clock = Clock()
    domain = run.domain
    prepared, manifest = _open_data(run, data_folder)
    key = _sampling_key(run, data_folder, model_folder)
    with staged(output) as folder:
        joined = samples.open_shards(shards, domain.name, key)
        if not getattr(domain, "streams_samples", False):
            joined = joined.load()
        exported = domain.export(joined, prepared, folder)
        provenance = clock.provenance(
            "sample",
            settings=run.settings.of_stage("sample"),
            inputs=_inputs(data_folder, model_folder),
        )
        parts = [manifests.read(s, samples.SHARD_KIND, domain.name)["provenance"] for s in shards]
        provenance["device"] = ", ".join(sorted({part["device"] for part in parts}))
        seconds = [provenance["seconds"], *(part["seconds"] for part in parts)]
        provenance["seconds"] = round(sum(seconds), 2)
        memory = [provenance["peak_memory_mb"], *(part["peak_memory_mb"] for part in parts)]
        provenance["peak_memory_mb"] = max(memory)
        about = {
            "domain": domain.name,
            "name": run.name,
            "title": run.settings.title,
            "description": "Generated by a model: nothing in this dataset was observed, unless a "
            "file's description says so.",
            "data": f"{manifest['name']} ({manifest['title']})",
            "licence": manifest["licence"],
            "citation": manifest["citation"],
            "model": f"{run.name}, sha256 {of_file(model_folder / 'model.safetensors')}",
            "seed": run.settings.sampling.seed,
            "prepared_sha256": manifest["files"]["prepared.zarr"]["sha256"],
            "counts": {"rows": joined.sizes[samples.ROW], **_counts(run, prepared)},
            "provenance": provenance,
        }
        samples.finish_samples(folder, exported, about)


def sample(run: Run, data_folder: Path, model_folder: Path, output: Path) -> None:
    """Draw all shards of a run, one after the other, and merge them."""
    shards_folder = output.absolute().with_name(f".{output.name}.shards")
    count = run.settings.sampling.shards
    shards = [shards_folder / f"{shard}-of-{count}" for shard in range(count)]
    with exclusive(shards_folder):
        try:
            for shard, folder in enumerate(shards):
                sample_shard(run, data_folder, model_folder, shard, folder)
            merge(run, data_folder, model_folder, shards, output)
        finally:
            shutil.rmtree(shards_folder, ignore_errors=True)


def evaluate(run: Run, data_folder: Path, samples_folder: Path, output: Path) -> None:
    """Judge a generated dataset, as its users read it, and draw its figures."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    from flowsci.store.metrics import write_evaluation

    clock = Clock()
    domain = run.domain
    prepared, manifest = _open_data(run, data_folder)
    drawn_for = manifests.read(samples_folder, samples.KIND, domain.name).get("prepared_sha256")
    if drawn_for != manifest["files"]["prepared.zarr"]["sha256"]:
        raise FlowsciError(
            f"{samples_folder}: the samples were not drawn for the dataset that {data_folder} now "
            "holds. Sample again."
        )
    drawn = domain.read_samples(samples_folder)
    with staged(output) as folder:
        evaluation = domain.evaluate(drawn, prepared, run.settings.evaluation)
        (folder / "figures").mkdir()
        for name, figure in domain.figures(drawn, prepared, evaluation).items():
            figure.savefig(folder / "figures" / f"{name}.png", dpi=150)
            pyplot.close(figure)
        provenance = clock.provenance(
            "evaluate",
            settings=run.settings.of_stage("evaluate"),
            inputs=_inputs(data_folder, samples_folder),
        )
        write_evaluation(evaluation, provenance, folder / "metrics.json")


def _simulate_source(data: Data) -> SimulateSource:
    if not isinstance(data.settings.source, SimulateSource):
        raise FlowsciError(
            f"{data.path}: source: is of the kind '{data.settings.source.kind}', which is not "
            "simulated; prepare it as it is."
        )
    return data.settings.source


def _by_name(files: Mapping[str, str]) -> dict[str, str]:
    """Name files (path: checksum) by where they lie below the folder that all share."""
    names = [path.as_posix() for path in below_shared_folder(files)[1]]
    return dict(zip(names, files.values(), strict=True))


def _simulation_key(data: Data) -> str:
    return _key(data.settings.of_simulation(), data.domain.versions["simulate"])


def _is_simulated(data: Data, chunk: Path) -> bool:
    if not (chunk / manifests.NAME).is_file():
        return False
    return manifests.read(chunk, CHUNK_KIND, data.domain.name)["key"] == _simulation_key(data)


def _write_simulated(
    data: Data,
    kind: str,
    folder: Path,
    simulated: "Simulated",
    about: Mapping[str, Any],
    clock: Clock,
    inputs: Mapping[str, str],
) -> None:
    settings = data.settings.of_simulation()
    manifest = {
        "format": manifests.FORMAT,
        "kind": kind,
        "domain": data.domain.name,
        "name": data.name,
        "title": data.settings.title,
        "licence": data.settings.licence,
        "citation": data.settings.citation,
        "description": "Computed, not observed.",
        **about,
        "counts": dict(simulated.counts),
        "files": {
            name: {"description": text, "sha256": of_file(folder / name)}
            for name, text in simulated.files.items()
        },
        "provenance": clock.provenance(
            "simulate",
            settings=settings,
            inputs=inputs,
        ),
    }
    manifests.write(folder, manifest)
    cards.write(folder, manifest)


def _simulated_files(data: Data, folder: Path) -> Mapping[str, str]:
    """Give the files of a simulated dataset by path, held against the manifest beside them."""
    _simulate_source(data)
    manifest = manifests.read(folder, SIMULATED_KIND, data.domain.name)
    if manifest["provenance"]["settings"] != data.settings.of_simulation():
        raise FlowsciError(f"{folder}: was simulated with other settings; simulate it again.")
    files = {}
    for name, entry in manifest["files"].items():
        if of_file(folder / name) != entry["sha256"]:
            raise FlowsciError(f"{folder / name}: is not what the manifest says; simulate again.")
        files[str(folder / name)] = entry["sha256"]
    return files


def _open_data(run: Run, folder: Path) -> tuple[Prepared, Mapping[str, Any]]:
    """Open a prepared dataset as this version of the domain makes it, and its manifest."""
    prepared, manifest = open_prepared(folder, run.domain.name)
    wanted = run.domain.versions["prepare"]
    # those that say no version were prepared before it was kept, and most are as they should be
    if manifest.get("version", wanted) != wanted:
        raise FlowsciError(
            f"{folder}: was prepared by another version of flowsci. Prepare the dataset again."
        )
    return prepared, manifest


def _open_model(run: Run, folder: Path, device: "torch.device") -> "Model":
    """Build a trained model from its file alone: the run file may have changed since."""
    from flowsci.store.models import load_weights, read_model

    state, description = read_model(folder, run.domain.name)
    network, flow = (
        check_section(description.get(name), run.domain.run_settings, name, str(folder))
        for name in ("network", "flow")
    )
    try:
        model = run.domain.model(network, flow, description["statistics"])
    except (KeyError, TypeError) as error:
        raise _of_another_version(folder, error) from error
    load_weights(model.network, state, folder)
    model.network.to(device).eval()
    return model


def _of_another_version(folder: Path, error: Exception) -> FlowsciError:
    return FlowsciError(
        f"{folder}: its statistics are not such as this flowsci reads ({error!r}). The model is of "
        "another version of flowsci; train it again."
    )


def _check_data(model: "Model", prepared: Prepared, data_folder: Path, model_folder: Path) -> None:
    """Refuse a dataset that isn't what a model has learned, for models that tell."""
    if not hasattr(model, "check_data"):
        return
    try:
        model.check_data(prepared.statistics)
    except KeyError as error:
        raise _of_another_version(model_folder, error) from error
    except FlowsciError as error:
        raise FlowsciError(
            f"{data_folder}: doesn't fit the model of {model_folder}: {error}"
        ) from None


def _described(
    run: Run, prepared: Prepared, manifest: Mapping[str, Any], model: "Model"
) -> dict[str, Any]:
    """Say what a model is: its run, what it has to know of its data, and its size."""
    return {
        "domain": run.domain.name,
        "name": run.name,
        "title": run.settings.title,
        **run.settings.of_stage("train"),
        "statistics": dict(prepared.statistics),
        "units": dict(prepared.units),
        "data": {"name": manifest["name"], "title": manifest["title"]},
        "parameters": sum(p.numel() for p in model.network.parameters()),
    }


def _teacher_of(run: Run, folder: Path | None) -> Path:
    if folder is None:
        raise FlowsciError(
            f"{run.path}: learns from the run '{run.settings.teacher}'; name the folder of its "
            "trained model with --teacher."
        )
    return folder


def _counts(run: Run, prepared: Prepared) -> dict[str, int]:
    settings = run.settings.sampling
    conditions = len(run.domain.conditions(prepared, settings))
    return {"conditions": conditions, "samples a condition": settings.samples}


def _inputs(*folders: Path) -> dict[str, str]:
    names = ("manifest.json", "model.json")
    files = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    return {f"{path.parent.name}/{path.name}": of_file(path) for path in files}


def _sampling_key(run: Run, data_folder: Path, model_folder: Path) -> str:
    sections = run.settings.deciding("sample")
    return _key(sections, _inputs(data_folder, model_folder), run.domain.versions["sample"])


def _key(*parts: Any) -> str:
    """Give a short name for settings and inputs: equal parts, equal name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
