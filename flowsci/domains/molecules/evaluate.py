"""Judge generated molecules beside real ones of the test split, through the same code."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowsci.domains.molecules.export import Generated
from flowsci.domains.molecules.measures import chemnet, internal, posebusters
from flowsci.domains.molecules.measures.perception import perceived_smiles
from flowsci.domains.molecules.measures.relaxation import LARGEST_FORCE, relaxed
from flowsci.domains.molecules.measures.soundness import Soundness, soundness
from flowsci.domains.molecules.property_errors import property_metrics
from flowsci.domains.molecules.record import Graph, Molecules, graphs
from flowsci.domains.molecules.settings import MoleculesEvaluation
from flowsci.store.metrics import Evaluation, Metric, bootstrap_interval
from flowsci.store.prepared import Prepared

logger = logging.getLogger("flowsci")
FCD_RESAMPLES = 10
GEOMETRY = {"bond_lengths": "Å", "angles": "degrees", "torsions": "degrees"}


@dataclass(frozen=True)
class Judged:
    """Molecules with what is known of them from their graphs."""

    graphs: Sequence[Graph]
    sound: Soundness

    @classmethod
    def of(cls, molecules: Sequence[Graph], processes: int) -> "Judged":
        """Judge molecules by their graphs."""
        return cls(molecules, soundness(molecules, processes))

    def spaced(self, count: int, among: np.ndarray | None = None) -> list[int]:
        """Give the numbers of at most `count` molecules, evenly spaced among those flagged."""
        places = np.arange(len(self.graphs)) if among is None else np.flatnonzero(among)
        chosen = np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)
        return places[chosen].tolist()


def evaluate(samples: Generated, prepared: Prepared, settings: MoleculesEvaluation) -> Evaluation:
    """Judge samples as `export.read_samples` gives them."""
    every = Molecules.of_split(prepared.arrays, "test")
    test = every.spaced(min(len(samples.graphs), settings.reference_molecules))
    train = Molecules.of_split(prepared.arrays, "train")
    model = Judged.of(samples.graphs, settings.processes)
    reference = Judged.of(graphs(test), settings.processes)
    metrics = _graph_metrics(model, reference, set(train.smiles), settings)
    tables: dict[str, Mapping[str, Sequence[Any]]] = {}
    details: dict[str, Any] = {"model": model, "reference": reference}
    if settings.fcd:
        metrics |= _chemnet_metrics(model, test, train, settings)
    if prepared.statistics["has_positions"]:
        found, table, kept = _geometry(model, reference, graphs(train.spaced(len(test))))
        tables |= table
        details |= kept
        for part in (_posebusters, _perception, _relaxation):
            found, table, kept = part(model, reference, settings)
            metrics |= found
            tables |= table
            details |= kept
    told = samples.table["told_atoms"].to_numpy() > 0
    if told.any():
        metrics["kept"] = share(samples.table["kept"].to_numpy()[told], settings)
    metrics |= property_metrics(samples.table, prepared, settings)
    protocol = _protocol(model, reference, len(every), prepared, settings)
    spatial = bool(prepared.statistics["has_positions"])
    for name, why in _not_computed(samples, metrics, tables, spatial, settings).items():
        logger.warning("%s is not computed: %s", name, why)
        protocol[f"{name}, not computed"] = why
    return Evaluation(protocol, metrics, details, tables)


def share(
    model: np.ndarray,
    settings: MoleculesEvaluation,
    reference: np.ndarray | None = None,
) -> Metric:
    """Give the share of molecules that are flagged."""
    return Metric(
        model=float(np.mean(model)),
        unit="1",
        better="higher",
        count=len(model),
        interval=bootstrap_interval(model, settings),
        reference=None if reference is None or not len(reference) else float(np.mean(reference)),
    )


def _graph_metrics(
    model: Judged, reference: Judged, known: set[str], settings: MoleculesEvaluation
) -> dict[str, Metric]:
    """Give shares of requested molecules; without hydrogens nothing is said about valences."""
    sides = (model.sound, reference.sound)
    first = [sound.first_of_its_kind() for sound in sides]
    fresh = [
        flags & np.array([smiles not in known for smiles in sound.smiles], dtype=bool)
        for flags, sound in zip(first, sides, strict=True)
    ]
    flags = {
        "valid": [sound.sanitised for sound in sides],
        "connected": [sound.connected for sound in sides],
        "valid_connected": [sound.valid for sound in sides],
        "valid_closed_shell": [sound.valid & sound.closed_shell for sound in sides],
        "neutral": [sound.charge == 0 for sound in sides],
        "unique": first,
        "novel": fresh,
    }
    valid = model.sound.valid
    if valid.any():
        flags["unique_of_valid"] = [first[0][valid], first[1][reference.sound.valid]]
    metrics = {name: share(m, settings, r) for name, (m, r) in flags.items()}
    if model.graphs[0].hydrogens:
        metrics["molecule_stable"] = share(sides[0].stable, settings, sides[1].stable)
        metrics["atom_stable"] = _stable_atoms(*sides, settings)
    return metrics


def _stable_atoms(model: Soundness, reference: Soundness, settings: MoleculesEvaluation) -> Metric:
    parts = np.column_stack([model.stable_atoms, model.atoms])

    def ratio(means: np.ndarray) -> np.ndarray:
        return means[:, 0] / np.maximum(means[:, 1], 1e-12)

    return Metric(
        model=float(model.stable_atoms.sum() / max(model.atoms.sum(), 1)),
        unit="1",
        better="higher",
        count=int(model.atoms.sum()),
        interval=bootstrap_interval(parts, settings, statistic=ratio),
        reference=float(reference.stable_atoms.sum() / reference.atoms.sum()),
    )


def _chemnet_metrics(
    model: Judged, test: Molecules, train: Molecules, settings: MoleculesEvaluation
) -> dict[str, Metric]:
    """Give the FCD to the test molecules; its floor is that of as many training molecules."""
    valid = model.sound.smiles[model.sound.valid]
    if len(valid) < chemnet.FEWEST or len(test) < chemnet.FEWEST:
        return {}
    true = chemnet.activations(test.smiles)
    drawn = chemnet.activations(valid)
    floor = chemnet.activations(train.spaced(len(valid)).smiles)
    value = chemnet.frechet_distance(drawn, true)
    generator = np.random.default_rng(settings.seed)
    resampled = [
        chemnet.frechet_distance(drawn.resampled(generator), true) for _ in range(FCD_RESAMPLES)
    ]
    # resampling adds to the distance: repeated molecules narrow the covariance
    spread = float(np.std(resampled, ddof=1))
    return {
        "fcd": Metric(
            model=value,
            unit="1",
            better="lower",
            count=len(valid),
            interval=(max(value - 2 * spread, 0.0), value + 2 * spread),
            reference=chemnet.frechet_distance(floor, true),
        )
    }


def _geometry(
    model: Judged, reference: Judged, train: Sequence[Graph]
) -> tuple[dict[str, Metric], dict[str, Any], dict[str, Any]]:
    """Compare bond lengths, angles and torsions with those of the test molecules."""
    sides = {
        "model": internal.internal_coordinates(model.graphs),
        "train": internal.internal_coordinates(train),
        "test": internal.internal_coordinates(reference.graphs),
    }
    distances = {
        side: [
            internal.distance(getattr(sides[side], n), getattr(sides["test"], n)) for n in GEOMETRY
        ]
        for side in ("model", "train")
    }
    # with few samples no type is common enough to be compared
    common = [
        i for i in range(len(GEOMETRY)) if np.isfinite([d[i] for d in distances.values()]).all()
    ]
    table = {
        "quantity": [list(GEOMETRY)[i] for i in common],
        "unit": [list(GEOMETRY.values())[i] for i in common],
        **{side: [values[i] for i in common] for side, values in distances.items()},
    }
    return {}, {"wasserstein_to_test": table} if common else {}, {"internal": sides}


def _posebusters(
    model: Judged, reference: Judged, settings: MoleculesEvaluation
) -> tuple[dict[str, Metric], dict[str, Any], dict[str, Any]]:
    if settings.posebusters == "none":
        return {}, {}, {}
    tests, sound = [], []
    for side in (model, reference):
        numbers = side.spaced(settings.posebusters_molecules)
        tests.append(
            posebusters.busted(
                [side.graphs[n] for n in numbers], settings.posebusters, settings.processes
            )
        )
        sound.append(side.sound.valid[numbers])
    passed = [posebusters.passes(table) for table in tests]
    metrics = {"posebusters": share(passed[0], settings, passed[1])}
    if sound[0].any():
        metrics["posebusters_of_valid"] = share(passed[0][sound[0]], settings, passed[1][sound[1]])
    names = sorted(set(tests[0]) & set(tests[1]))
    table = {
        "test": names,
        "model": [float(tests[0][name].mean()) for name in names],
        "reference": [float(tests[1][name].mean()) for name in names],
    }
    return metrics, {"posebusters": table}, {}


def _perception(
    model: Judged, reference: Judged, settings: MoleculesEvaluation
) -> tuple[dict[str, Metric], dict[str, Any], dict[str, Any]]:
    """Ask what the positions alone say: a sound molecule, and the one that the bonds say?"""
    if not settings.perceived_molecules:
        return {}, {}, {}
    sound, same = [], []
    for side in (model, reference):
        numbers = side.spaced(settings.perceived_molecules)
        smiles = perceived_smiles([side.graphs[n] for n in numbers], settings.processes)
        sound.append(smiles != "")
        same.append(sound[-1] & (smiles == side.sound.smiles[numbers]))
    return (
        {
            "perceived": share(sound[0], settings, sound[1]),
            "perceived_as_said": share(same[0], settings, same[1]),
        },
        {},
        {},
    )


def _relaxation(
    model: Judged, reference: Judged, settings: MoleculesEvaluation
) -> tuple[dict[str, Metric], dict[str, Any], dict[str, Any]]:
    """Relax valid molecules of closed shells; what does not end at a minimum is counted."""
    if not settings.relaxed_molecules:
        return {}, {}, {}
    found, chosen = [], []
    for side in (model, reference):
        numbers = side.spaced(
            settings.relaxed_molecules, side.sound.valid & side.sound.closed_shell
        )
        chosen.append(numbers)
        found.append(
            relaxed(
                [side.graphs[n] for n in numbers], settings.relaxation_steps, settings.processes
            )
        )
    ended = [np.isfinite(side.energy) for side in found]
    if not len(ended[0]):
        return {}, {}, {}
    metrics = {"relaxation_converged": share(ended[0], settings, ended[1])}
    if not ended[0].any() or not ended[1].any():
        return metrics, {}, {}
    for name, unit in (("energy", "kcal/mol"), ("rmsd", "Å")):
        values = [getattr(side, name)[flags] for side, flags in zip(found, ended, strict=True)]
        metrics[f"relaxation_{name}_median"] = _median(*values, unit, settings)
    return metrics, {}, {"relaxed": (chosen[0], *found)}


def _median(
    model: np.ndarray, reference: np.ndarray, unit: str, settings: MoleculesEvaluation
) -> Metric:
    generator = np.random.default_rng(settings.seed)
    picked = generator.integers(len(model), size=(settings.bootstrap, len(model)))
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(np.median(model[picked], axis=1), [tail, 1 - tail])
    return Metric(
        model=float(np.median(model)),
        unit=unit,
        better="lower",
        count=len(model),
        interval=(float(low), float(high)),
        reference=float(np.median(reference)),
    )


def _not_computed(
    samples: Generated,
    metrics: Mapping[str, Metric],
    tables: Mapping[str, Mapping[str, Sequence[Any]]],
    spatial: bool,
    settings: MoleculesEvaluation,
) -> dict[str, str]:
    """Say why measures that are wanted are not there, by their names."""
    reasons = {
        "unique_of_valid": "no sample is valid and in one piece",
        "molecule_stable": "the dataset has no hydrogens, so that no valence is whole",
    }
    if settings.fcd:
        reasons["fcd"] = (
            f"it needs {chemnet.FEWEST} valid samples and {chemnet.FEWEST} test molecules"
        )
    if spatial and settings.posebusters != "none":
        reasons["posebusters_of_valid"] = "none of the samples looked at is valid"
    if spatial and settings.relaxed_molecules:
        reasons["relaxation_converged"] = "no sample is valid and of a closed shell"
        reasons["relaxation_energy_median"] = (
            "no sample, or no test molecule, ends at a minimum: see relaxation_converged, and "
            "raise evaluation.relaxation_steps where they only need more"
        )
    missing = {name: why for name, why in reasons.items() if name not in metrics}
    compared = tables.get("wasserstein_to_test", {}).get("quantity", [])
    apart = [name for name in GEOMETRY if name not in compared]
    if spatial and apart:
        missing[f"wasserstein_to_test of {', '.join(apart)}"] = (
            f"no type has {internal.FEWEST} values in samples, test and training molecules"
        )
    for column in map(str, samples.table.columns):
        name = column.removeprefix("target_")
        if name != column and f"judged_{name}" not in samples.table:
            missing[f"mae_{name}"] = "no net judged it; a run with network.judge has one"
    return missing


def _taken(judged: Judged, asked: int, among: np.ndarray | None = None) -> str:
    """Say how many molecules were looked at, and where they are fewer than asked for."""
    taken = len(judged.spaced(asked, among))
    return f"{taken:,}" if taken == asked else f"{taken:,} (all there are; {asked:,} asked for)"


def _protocol(
    model: Judged,
    reference: Judged,
    tests: int,
    prepared: Prepared,
    settings: MoleculesEvaluation,
) -> dict[str, Any]:
    count, most = len(reference.graphs), min(len(model.graphs), settings.reference_molecules)
    lowered = f" (all there are, for {most:,} samples)" if count < most else f" of {tests:,}"
    closed = [side.sound.valid & side.sound.closed_shell for side in (model, reference)]
    protocol = {
        "samples": len(model.graphs),
        "reference": f"{count:,} test molecules{lowered}, evenly spaced, through the same code; as "
        f"many as samples, at most {settings.reference_molecules:,}",
        "shares": "of the samples asked for, where nothing else is said; nothing is repaired, no "
        "largest fragment is taken, no hydrogen is added",
        "atom_stable, molecule_stable": "bond orders of the Kekulé structure sum to a valence that "
        "RDKit allows for the charge",
        "valid_connected": "RDKit sanitises it and it is in one piece",
        "valid_closed_shell": "besides, no atom has an unpaired electron: none lacks a bond",
        "unique": "valid, in one piece, and the first of its canonical SMILES (without stereo)",
        "novel": "besides, no training molecule has this SMILES",
        "kept": "every atom that the condition told of came with its element, charge, bonds to the "
        "others and, where given, its position to 0.001 Å",
        "interval": f"{settings.confidence:.0%} by bootstrap over samples; {settings.bootstrap} "
        "resamples",
    }
    if settings.fcd:
        protocol["fcd"] = (
            "valid samples against the reference, ChemNet of the package fcd; `reference` is the "
            "FCD of as many training molecules, the floor; interval: two standard deviations of "
            f"{FCD_RESAMPLES} resamples. It falls with the number of molecules: compare equal ones"
        )
    if prepared.statistics["has_positions"]:
        protocol |= {
            "level of theory of the reference's positions": prepared.statistics["level"],
            "wasserstein_to_test": "mean over types of the Wasserstein-1 distance, weighted by how "
            f"common a type is; types with {internal.FEWEST} values on both sides; torsions "
            "without sign; all samples, valid or not; `train` is the floor",
            "posebusters": f"{settings.posebusters}, samples: "
            f"{_taken(model, settings.posebusters_molecules)}, test molecules: "
            f"{_taken(reference, settings.posebusters_molecules)}, evenly spaced; share of those "
            "looked at; `of_valid`: of the valid of them",
            "perceived": "bonds from positions alone (RDKit) give a sound molecule; `as_said`: the "
            "one that the explicit bonds say; samples: "
            f"{_taken(model, settings.perceived_molecules)}, test molecules: "
            f"{_taken(reference, settings.perceived_molecules)}, evenly spaced",
            "relaxation": f"GFN2-xTB (tblite), L-BFGS to {LARGEST_FORCE} eV/Å within "
            f"{settings.relaxation_steps} steps; valid samples of closed shells: "
            f"{_taken(model, settings.relaxed_molecules, closed[0])}, test molecules: "
            f"{_taken(reference, settings.relaxed_molecules, closed[1])}, evenly spaced; medians "
            "over those that end at a minimum",
        }
    return protocol
