import numpy as np
import pytest
from ase.io import read
from rdkit import Chem

from flowsci.domains.transition_states import domain, measures
from flowsci.domains.transition_states.settings import TransitionStatesEvaluation
from flowsci.errors import FlowsciError

SETTINGS = TransitionStatesEvaluation(bootstrap=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawn, prepared):
    folder = tmp_path_factory.mktemp("samples")
    domain.export(drawn, prepared, folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(folder, prepared):
    return domain.evaluate(domain.read_samples(folder), prepared, SETTINGS)


def test_measures_stand_beside_the_baselines(evaluation):
    for name in ("rmsd_mean", "rmsd_median", "d_mae", "rmsd_permuted_mean", "rmsd_clipped_mean"):
        metric = evaluation.metrics[name]
        assert set(metric.baselines) == {"midpoint", "stress_embedding", "reactant"}
        assert metric.interval[0] - 1e-9 <= metric.model <= metric.interval[1] + 1e-9
    assert -1 <= evaluation.metrics["confidence_spearman"].model <= 1
    assert evaluation.protocol["level of theory of the true transition states"] == "made by hand"


def test_the_truth_as_a_sample_has_no_error(folder, prepared, drawn):
    samples = domain.read_samples(folder)
    arrays = prepared.arrays
    for row, number in enumerate(samples.table["reaction"]):
        atoms = slice(*arrays["atom_start"].values[number : number + 2])
        samples.positions[row] = arrays["transition_state"].values[atoms].astype(float)
    metrics = domain.evaluate(samples, prepared, SETTINGS).metrics
    for name in ("rmsd_mean", "rmsd_median", "d_mae", "rmsd_best_of_2_mean"):
        assert metrics[name].model < 1e-5


def test_exports_open_with_the_tools_of_the_field(folder, prepared):
    frames = read(folder / "transition_states.extxyz", index=":")
    assert [f.info["role"] for f in frames[:4]] == [
        "reactant",
        "transition_state",
        "transition_state",
        "product",
    ]
    assert frames[1].info["expected_d_mae"] > 0
    molecules = list(Chem.SDMolSupplier(str(folder / "ends.sdf"), removeHs=False, sanitize=False))
    assert [m.GetProp("role") for m in molecules[:2]] == ["reactant", "product"]
    assert molecules[0].GetNumAtoms() == len(frames[0])
    assert np.allclose(molecules[0].GetConformer().GetPositions(), frames[0].positions, atol=1e-3)


def test_the_figures_are_drawn_and_have_captions(folder, prepared, evaluation):
    from pathlib import Path

    from matplotlib import pyplot

    drawn = domain.figures(domain.read_samples(folder), prepared, evaluation)
    captions = Path(__file__).parents[3] / "workflow/report/transition_states"
    assert set(drawn) == {"reactions", "errors", "confidence"}
    assert {p.stem for p in captions.glob("*.rst")} == {*drawn, "energies", "modes"}
    pyplot.close("all")


def test_samples_of_unknown_reactions_cannot_be_judged(folder, prepared):
    arrays = prepared.arrays.copy(deep=True)
    arrays["transition_state"][:] = np.nan
    from dataclasses import replace

    with pytest.raises(FlowsciError, match="nothing can be judged"):
        domain.evaluate(domain.read_samples(folder), replace(prepared, arrays=arrays), SETTINGS)


def test_measures_follow_their_conventions():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(6, 3))
    numbers = np.array([6, 6, 1, 1, 1, 8])
    turn = np.linalg.qr(draw.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    assert measures.rmsd(truth @ turn + 2, truth) < 1e-6
    mirror = truth * [-1, 1, 1]
    assert measures.rmsd(mirror, truth) > 0.1 > 1e-6 > measures.rmsd_mirror_allowed(mirror, truth)
    swapped = truth[[0, 1, 3, 2, 4, 5]] + 0.01
    assert (
        measures.rmsd(swapped, truth) > 0.1 > 1e-5 > measures.rmsd_permuted(swapped, truth, numbers)
    )
    assert measures.clipped(3.0) == 1.0
    stretched = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    assert measures.d_mae(stretched * 1.5, stretched) == 0.5


def test_verdicts_are_counted_beside_the_midpoints(folder, prepared, monkeypatch):
    from types import SimpleNamespace

    from matplotlib import pyplot

    from flowsci.domains.transition_states import evaluate

    calls = []

    def verdicts(tasks, settings, processes):
        calls.append(len(tasks))
        first = len(calls) == 1
        return [
            SimpleNamespace(
                verified=first or index == 0,
                reason="" if first or index == 0 else "saddle_not_found",
                steps=4 if first else 10,
                barrier=2.0,
                reaction_energy=0.5,
                positions=task.guess,
                mode=np.eye(len(task.guess), 3),
                imaginary_frequency=1426.0,
            )
            for index, task in enumerate(tasks)
        ]

    monkeypatch.setattr(evaluate, "verdicts", verdicts)
    monkeypatch.setattr(
        evaluate, "energies", lambda numbers, shapes: [float(s[2, 0]) for s in shapes]
    )
    settings = TransitionStatesEvaluation(bootstrap=100, refine="gfn2", refined_reactions=3)
    samples = domain.read_samples(folder)
    found = domain.evaluate(samples, prepared, settings)
    assert calls == [3, 3, 3]
    share = found.metrics["refined_to_right_saddle"]
    assert share.model == 1.0
    assert abs(share.baselines["midpoint"] - 1 / 3) < 1e-9
    steps = found.metrics["refinement_steps"]
    assert (steps.model, steps.baselines["midpoint"], steps.count) == (4.0, 10.0, 1)
    outcomes = found.tables["refinement_outcomes"]
    rows = list(zip(outcomes["guess"], outcomes["outcome"], outcomes["reactions"], strict=True))
    assert rows[0] == ("model", "right_saddle", 3)
    assert ("midpoint", "saddle_not_found", 2) in rows
    case = found.details["refined"][0]
    error = found.details["energy_errors"]["midpoint"][0]
    assert abs(error - abs(case.plain["midpoint"][2, 0] - case.truth[2, 0])) < 1e-9
    drawn = domain.figures(samples, prepared, found)
    assert {"energies", "modes"} <= set(drawn)
    drawn["energies"].savefig("/dev/null", format="png")
    drawn["modes"].savefig("/dev/null", format="png")
    pyplot.close("all")


def test_refinement_without_its_program_says_what_to_install(folder, prepared, monkeypatch):
    from flowsci.domains.transition_states import verdicts

    monkeypatch.setattr(verdicts.importlib.util, "find_spec", lambda name: None)
    settings = TransitionStatesEvaluation(bootstrap=100, refine="gfn2", refined_reactions=1)
    with pytest.raises(FlowsciError, match=r"pip install tblite.*`refine: none`"):
        domain.evaluate(domain.read_samples(folder), prepared, settings)
