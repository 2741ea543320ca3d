import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from matplotlib import pyplot as plt
from rdkit import Chem

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.equilibrium.evaluate import evaluate
from flowsci.domains.molecules.equilibrium.export import Conformers
from flowsci.domains.molecules.equilibrium.profiles import (
    chain_shares,
    rotamers_of,
    shares,
    turning_torsions,
    wells_of,
)
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.settings_files import check_settings
from flowsci.store.metrics import write_evaluation

from .made import data, prepared, run


def test_chains_do_not_depend_on_chunks_and_stand_whole_in_one_split():
    arrays = prepared().arrays
    for split in (0, 1, 2):
        of_split = arrays["chain"].values[arrays["split"].values == split]
        others = arrays["chain"].values[arrays["split"].values != split]
        assert len(of_split)
        assert not set(of_split) & set(others)
    assert prepared().counts["conformers"] == {"train": 300, "validation": 150, "test": 150}
    assert np.isfinite(arrays["energy"]).all()


def test_shares_of_equal_weights_have_the_error_of_a_binomial_law():
    cells = np.array([0] * 30 + [1] * 70)
    share, error = shares(cells, 3, np.full(100, 0.01))
    assert share == pytest.approx([0.3, 0.7, 0])
    assert error == pytest.approx([np.sqrt(0.3 * 0.7 / 100)] * 2 + [0])


def test_shares_follow_the_weights_and_chains_their_spread():
    share, _ = shares(np.array([0, 1, 1]), 2, np.array([2.0, 1.0, 1.0]))
    assert share == pytest.approx([0.5, 0.5])
    share, error = chain_shares(np.array([0, 0, 0, 1]), 2, np.array([0, 0, 1, 1]))
    assert share == pytest.approx([0.75, 0.25])
    assert error == pytest.approx([0.25, 0.25])


def test_rotamers_are_gauche_and_trans():
    angles = np.array([-60.0, 60.0, 180.0, -170.0, 119.0])
    assert wells_of(angles).tolist() == [0, 1, 2, 2, 1]
    assert rotamers_of({"a": angles[:2], "b": angles[2:4]}).tolist() == [2, 5]


def test_the_chains_themselves_are_judged_to_be_perfect():
    arrays = prepared().arrays
    test = arrays["split"].values == 2
    count = int(test.sum())
    table = pd.DataFrame(
        {
            "set": np.zeros(count, dtype=int),
            "energy_kcal": arrays["energy"].values[test],
            "log_weight": np.full(count, 3.0),
        }
    )
    samples = Conformers(table, arrays["positions"].values[test])
    metrics = evaluate(samples, prepared(), run().evaluation).metrics
    assert metrics["effective_sample_size"].model == pytest.approx(1)
    assert metrics["torsion_free_energy_error_kt"].model == pytest.approx(0, abs=1e-9)
    assert metrics["rotamer_free_energy_largest_error_kt"].model == pytest.approx(0, abs=1e-9)
    assert metrics["mean_energy"].model == pytest.approx(metrics["mean_energy"].reference)
    # one that favours a rotamer is not
    favoured = samples.table.assign(log_weight=np.where(np.arange(count) < 75, 0.0, 2.0))
    worse = evaluate(Conformers(favoured, samples.positions), prepared(), run().evaluation).metrics
    assert worse["effective_sample_size"].model < 0.8
    assert worse["torsion_free_energy_error_kt"].model > 0.05


def test_samples_go_through_all_formats_and_are_judged(tmp_path):
    settings = run()
    model = domain.model(settings.network, settings.flow, prepared().statistics)
    sets = domain.conditions(prepared(), settings.sampling)
    batch = sets.batch(range(len(sets)))
    with torch.no_grad():
        samples = model.sample(
            model.network, batch, sample_generators(0, range(120)), settings.sampling
        )
    samples["sound"][0, 0] = False
    samples["positions"][0, 0] = torch.nan
    rows = domain.decode(samples, batch, prepared())
    exported = domain.export(rows, prepared(), tmp_path)
    assert all((tmp_path / name).is_file() for name in exported.files)
    read = domain.read_samples(tmp_path)
    table = read.table
    assert len(table) == 120
    assert table["set"].tolist() == [0] * 60 + [1] * 60
    assert table["log_weight"][0] == -np.inf
    assert np.isnan(table["energy_kcal"][0])
    assert table["weight"].sum() == pytest.approx(1)
    assert table["weight"][0] == 0
    kt = 0.0019872 * 300
    expected = -table["energy_kcal"] / kt - table["log_density"]
    assert table["log_weight"][1:].to_numpy() == pytest.approx(expected[1:], rel=1e-4)
    np.testing.assert_allclose(read.positions[1:], rows["position"].values[1:], atol=1e-6)
    torsions = turning_torsions(read.positions[1:], prepared().statistics)
    for name, values in torsions.items():
        away = np.abs(values - table[f"torsion_{name}"].to_numpy()[1:])
        assert np.minimum(away, 360 - away).max() < 1e-2
    schema = pq.read_schema(tmp_path / "conformers.parquet")
    assert b"kcal/mol" in schema.field("energy_kcal").metadata[b"description"]
    molecules = list(Chem.SDMolSupplier(str(tmp_path / "ensemble.sdf"), removeHs=False))
    assert molecules
    assert all(molecule is not None for molecule in molecules)

    evaluation = domain.evaluate(read, prepared(), settings.evaluation)
    assert 0 < evaluation.metrics["effective_sample_size"].model < 1
    assert len(evaluation.tables["torsions"]["degrees"]) == 2 * 36
    figures = domain.figures(read, prepared(), evaluation)
    assert set(figures) == {"torsions", "weights"}
    plt.close("all")
    assert json.dumps(evaluation.protocol)


def test_a_rare_rotamer_without_samples_is_told_not_hidden(tmp_path):
    arrays = prepared().arrays
    test = np.flatnonzero(arrays["split"].values == 2)[:5]
    table = pd.DataFrame(
        {"set": 0, "energy_kcal": arrays["energy"].values[test], "log_weight": np.zeros(5)}
    )
    samples = Conformers(table, arrays["positions"].values[test])
    evaluation = evaluate(samples, prepared(), run().evaluation)
    with pytest.raises(FlowsciError, match="not finite"):
        write_evaluation(evaluation, {}, tmp_path / "metrics.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"size": "tiny"}}, "go together"),
        ({"sampling": {"samples": 1, "steps": 1, "conditions": {"kind": "equilibrium"}}}, "method"),
        ({"flow": {"kind": "flow"}}, "go together"),
    ],
)
def test_parts_of_other_runs_are_refused(change, message):
    content = run().model_dump(mode="json", exclude_unset=True) | change
    with pytest.raises(FlowsciError, match=message):
        check_settings(yaml.safe_load(yaml.safe_dump(content)), domain.run_settings, "made")


def test_a_dataset_says_its_simulation_only_where_it_has_one():
    assert data().model_dump()["simulation"]["smiles"] == "CCCO"
    content = data().model_dump(mode="json") | {"source": {"kind": "path", "path": "a.smi"}}
    with pytest.raises(FlowsciError, match="go together"):
        check_settings(content, domain.data_settings, "made")
    del content["simulation"]
    plain = check_settings(content, domain.data_settings, "made")
    assert "simulation" not in plain.model_dump()
