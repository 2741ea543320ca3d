"""A run file together with its dataset file and its domain, checked as a whole."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from flowsci.domains import domain_names, find_domain
from flowsci.domains.contract import Domain
from flowsci.errors import FlowsciError
from flowsci.settings import DataSettings, RunSettings
from flowsci.settings_files import check_settings, read_settings, read_yaml

RESERVED_RUN_NAMES = ("data", "simulated", "sources", "studies")


@dataclass(frozen=True)
class Data:
    """A dataset file: `config/data/<domain>/<name>.yaml`."""

    name: str
    path: Path
    domain: Domain
    settings: DataSettings


@dataclass(frozen=True)
class Run:
    """A run file: `config/runs/<domain>/<name>.yaml`."""

    name: str
    path: Path
    domain: Domain
    settings: RunSettings
    data: Data

    @property
    def model(self) -> str:
        """Name the run whose trained model this one uses: itself, unless it says otherwise."""
        return self.settings.trained_by or self.name


def load_data(path: Path) -> Data:
    """Read and check a dataset file; raise `FlowsciError` naming file, key and what is allowed."""
    domain = _domain_of(path)
    return Data(path.stem, path, domain, read_settings(path, domain.data_settings))


def load_run(path: Path) -> Run:
    """Read and check a run file and the dataset file that it names."""
    domain = _domain_of(path)
    if path.stem in RESERVED_RUN_NAMES:
        raise FlowsciError(f"{path}: a run cannot be called '{path.stem}'; rename the file.")
    settings = read_settings(path, domain.run_settings)
    for key in ("teacher", "trained_by"):
        other = getattr(settings, key)
        if other == path.stem or (other and not path.with_name(f"{other}.yaml").is_file()):
            raise FlowsciError(
                f"{path}: {key}: '{other}' is not another run of the domain '{domain.name}'."
            )
        origin = read_yaml(path.with_name(f"{other}.yaml")).get("trained_by") if other else None
        if origin is not None:
            raise FlowsciError(
                f"{path}: {key}: '{other}' has no model of its own, but that of '{origin}'; name "
                "that run."
            )
    if settings.trained_by is not None:
        _check_model(path, domain, settings.trained_by)
    data = _data_of(path, domain.name, settings.data)
    if hasattr(domain, "check_run"):
        try:
            domain.check_run(settings, data.settings)
        except FlowsciError as error:
            raise FlowsciError(f"{path}: {error}") from None
    return Run(path.stem, path, domain, settings, data)


def _check_model(path: Path, domain: Domain, trained_by: str) -> None:
    """Hold what a run samples against the model that it uses, which another run trains."""
    other, content = path.with_name(f"{trained_by}.yaml"), read_yaml(path)
    trained = read_yaml(other)
    # as the run that is trained: what it samples is its own model's
    content.pop("trained_by")
    for name in ("network", "flow", "training", "teacher"):
        content.pop(name, None)
        if name in trained:
            content[name] = trained[name]
    check_settings(content, domain.run_settings, f"{path}, with the model of {other}")


def _domain_of(path: Path) -> Domain:
    name = read_yaml(path).get("domain")
    if not isinstance(name, str):
        raise FlowsciError(f"{path}: domain: expected one of {', '.join(domain_names())}.")
    try:
        domain = find_domain(name)
    except FlowsciError as error:
        raise FlowsciError(f"{path}: domain: {error}") from None
    if path.resolve().parent.name != name:
        raise FlowsciError(
            f"{path}: domain: it is '{name}', but the file lies in the folder "
            f"'{path.resolve().parent.name}'. Move the file to '{name}/' or correct the key."
        )
    return domain


def _data_of(run_path: Path, domain: str, name: str) -> Data:
    folder = run_path.resolve().parents[2] / "data"
    path = folder / domain / f"{name}.yaml"
    if not path.is_file():
        others = sorted(p.parent.name for p in folder.glob(f"*/{name}.yaml"))
        belongs = f" It is a dataset of {', '.join(others)}." if others else ""
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise FlowsciError(
            f"{run_path}: data: there is no dataset '{name}' in the domain '{domain}'.{belongs} "
            f"Datasets of {domain}: {known}."
        )
    with contextlib.suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return load_data(path)
