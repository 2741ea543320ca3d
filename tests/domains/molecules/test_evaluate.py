"""Verdicts: real molecules score as real ones, spoilt ones are counted."""

import json

import numpy as np
import pytest
import torch

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.decode import decode
from flowsci.domains.molecules.evaluate import evaluate
from flowsci.domains.molecules.settings import MoleculesEvaluation
from flowsci.store.metrics import write_evaluation
from flowsci.store.prepared import Prepared

from .files import settings
from .made import SMILES, prepared
from .test_export import drawn

QUICK = {"bootstrap": 100, "relaxed_molecules": 2, "fcd": False, "posebusters_molecules": 4}
GRAPHS_ALONE = {"posebusters": "none", "relaxed_molecules": 0, "perceived_molecules": 0}


def judged(made: Prepared, folder, spoil: bool = True, extra=None, **changes):
    """Write molecules as samples and judge what is read."""
    tensors, batch, _ = drawn(made, spoil=spoil)
    more, told = extra(len(batch["id"])) if extra else ({}, {})
    rows = decode({**tensors, **more}, {**batch, **told}, made)
    domain.export(rows, made, folder)
    samples = domain.read_samples(folder)
    return samples, evaluate(samples, made, MoleculesEvaluation(**{**QUICK, **changes}))


def test_shares_are_of_what_was_asked_for(tmp_path):
    made = prepared()
    samples, evaluation = judged(made, tmp_path)
    metrics, count = evaluation.metrics, len(samples.table)
    assert metrics["molecule_stable"].model == pytest.approx((count - 2) / count)
    assert metrics["valid_connected"].count == count
    assert metrics["valid_connected"].reference == 1
    assert metrics["unique"].model <= metrics["valid_connected"].model
    assert metrics["novel"].model == 0
    assert metrics["novel"].reference == 1
    assert metrics["atom_stable"].model > metrics["molecule_stable"].model
    assert 0 <= metrics["perceived_as_said"].model <= metrics["perceived"].model <= 1
    assert metrics["relaxation_energy_median"].unit == "kcal/mol"
    write_evaluation(evaluation, {}, tmp_path / "metrics.json")
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert {"posebusters", "molecule_stable", "valid_connected"} <= set(content["metrics"])
    figures = domain.figures(samples, made, evaluation)
    assert set(figures) == {"molecules", "distributions", "extremes"}


def test_graphs_alone_have_no_stability_and_no_geometry(tmp_path):
    made = prepared("2d", "none")
    samples, evaluation = judged(made, tmp_path, spoil=False)
    assert "molecule_stable" not in evaluation.metrics
    assert "posebusters" not in evaluation.metrics
    assert "no hydrogens" in evaluation.protocol["molecule_stable, not computed"]
    assert [n for n in evaluation.protocol if n.endswith("not computed")] == [
        "molecule_stable, not computed"
    ]
    assert evaluation.metrics["valid_connected"].model == 1
    assert set(domain.figures(samples, made, evaluation)) == {"molecules", "sizes"}


def test_a_model_that_draws_nothing_sound_is_judged_all_the_same(tmp_path, caplog):
    made = prepared()
    tensors, batch, _ = drawn(made)
    tensors["bonds"].fill_(3)
    domain.export(decode(tensors, batch, made), made, tmp_path)
    samples = domain.read_samples(tmp_path)
    evaluation = evaluate(
        samples, made, MoleculesEvaluation(bootstrap=100, posebusters_molecules=2)
    )
    assert evaluation.metrics["valid_connected"].model == 0
    assert "fcd" not in evaluation.metrics
    for name, why in {
        "fcd": "it needs 2 valid samples",
        "relaxation_converged": "no sample is valid",
        "relaxation_energy_median": "ends at a minimum",
        "unique_of_valid": "no sample is valid",
        "posebusters_of_valid": "looked at is valid",
        "wasserstein_to_test of bond_lengths, angles, torsions": "no type has 50 values",
    }.items():
        assert why in evaluation.protocol[f"{name}, not computed"]
        assert f"{name} is not computed: " in caplog.text
    write_evaluation(evaluation, {}, tmp_path / "metrics.json")
    assert "molecules" in domain.figures(samples, made, evaluation)


def test_molecules_that_end_at_no_minimum_are_counted_and_said(tmp_path):
    asked = {**GRAPHS_ALONE, "relaxed_molecules": 2, "relaxation_steps": 1}
    _, evaluation = judged(prepared(), tmp_path, spoil=False, **asked)
    assert evaluation.metrics["relaxation_converged"].model == 0
    assert "relaxation_energy_median" not in evaluation.metrics
    why = evaluation.protocol["relaxation_energy_median, not computed"]
    assert "raise evaluation.relaxation_steps" in why


def test_the_protocol_says_how_many_were_looked_at_and_why_fewer(tmp_path):
    made = prepared()
    samples, evaluation = judged(
        made, tmp_path, spoil=False, posebusters_molecules=1000, perceived_molecules=2
    )
    count, tests = len(samples.table), made.counts["molecules"]["test"]
    assert tests < count
    protocol = evaluation.protocol
    assert f"{tests} test molecules (all there are, for {count} samples)" in protocol["reference"]
    assert f"samples: {count} (all there are; 1,000 asked for)" in protocol["posebusters"]
    assert f"test molecules: {tests} (all there are; 1,000 asked for)" in protocol["posebusters"]
    assert "samples: 2, test molecules: 2, evenly" in protocol["perceived"]


def with_alpha(tmp_path) -> Prepared:
    """Prepare the made molecules with a property that grows with the atoms."""
    path = tmp_path / "made.csv"
    rows = [f"{smiles},{len(smiles)}" for smiles in SMILES]
    path.write_text("\n".join(["smiles,alpha", *rows]))
    return domain.prepare([path], settings(properties={"alpha": "Bohr^3"}))


def test_properties_stand_beside_the_judges_own_error_and_baselines(tmp_path):
    made = with_alpha(tmp_path)

    def asked(count: int):
        target = torch.linspace(1, 9, count)[:, None]
        found = {"judged": target[:, None] + 0.5, "judged_real": target - 0.25}
        return found, {"properties": target, "molecule": torch.arange(count)}

    samples, evaluation = judged(made, tmp_path, spoil=False, extra=asked, **GRAPHS_ALONE)
    metric = evaluation.metrics["mae_alpha"]
    assert metric.model == pytest.approx(0.5, abs=1e-6)
    assert metric.reference == pytest.approx(0.25, abs=1e-6)
    assert metric.unit == "Bohr^3"
    assert metric.baselines["shuffled"] > 1
    assert metric.baselines["atom_count_only"] > 0.5
    assert "properties" in domain.figures(samples, made, evaluation)


def test_targets_that_no_net_judged_are_said(tmp_path):
    def asked(count: int):
        return {}, {"properties": torch.ones(count, 1)}

    _, evaluation = judged(with_alpha(tmp_path), tmp_path, spoil=False, extra=asked, **GRAPHS_ALONE)
    assert "network.judge" in evaluation.protocol["mae_alpha, not computed"]


def test_the_chemnet_distance_stands_beside_that_of_training_molecules(tmp_path):
    made = prepared("2d", "none")
    _, evaluation = judged(made, tmp_path, spoil=False, fcd=True)
    metric = evaluation.metrics["fcd"]
    assert np.isfinite([metric.model, metric.reference, *metric.interval]).all()
    # the samples are the training molecules themselves
    assert metric.model == pytest.approx(metric.reference, rel=0.2)


def test_fragments_that_do_not_come_back_as_they_were_told_are_counted(tmp_path):
    made = prepared()
    tensors, batch, _ = drawn(made, spoil=False)
    told = {name: tensors[name][:, 0].clone() for name in tensors}
    told["known"] = told["given"] = torch.arange(told["mask"].shape[1]) < 2 * told["mask"]
    tensors["positions"][0, 0, 0] += 0.1
    tensors["bonds"][1, 0, 0, 1] = tensors["bonds"][1, 0, 1, 0] = 0
    tensors["charges"][2, 0, 1] = 1
    tensors["positions"][3, 0, 2:] += 0.1
    domain.export(decode(tensors, {**batch, **told}, made), made, tmp_path)
    samples = domain.read_samples(tmp_path)
    assert samples.table["kept"].tolist()[:5] == [False, False, False, True, True]
    asked = MoleculesEvaluation(**{**QUICK, **GRAPHS_ALONE})
    metric = evaluate(samples, made, asked).metrics["kept"]
    assert metric.model == pytest.approx(1 - 3 / len(samples.table))
