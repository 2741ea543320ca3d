"""Settings of which nothing would come, or that training never shows, are refused by name."""

from pathlib import Path

import pytest

from flowsci.domains.molecules.settings import MoleculesRun
from flowsci.errors import FlowsciError
from flowsci.settings_files import check_settings
from tests.domains.molecules import made
from tests.domains.molecules.equilibrium.made import run as equilibrium_run
from tests.domains.molecules.files import settings

ALPHA = {"kind": "properties", "molecules": 2, "names": ["alpha"]}
FORMULA = {"kind": "composition", "formulas": ["CH4"]}
SCAFFOLD = {"kind": "scaffold", "split": "test"}
SMILES = {"kind": "smiles", "smiles": ["C"]}
FRAGMENTS = {"kind": "scaffold", "fragments": "a.sdf"}
JUDGED = {"properties": ["alpha"], "judge": "tiny"}


@pytest.mark.parametrize(
    ("network", "conditions", "message"),
    [
        ({}, SCAFFOLD, r"kind 'scaffold' need `network\.fragments: true`"),
        ({}, SMILES, r"kind 'smiles' need `network\.fragments: true`"),
        ({}, FORMULA, r"kind 'composition' need `network\.composition: true`"),
        ({"properties": ["mu"]}, ALPHA, r"need `network\.properties: \[mu, alpha\]`"),
    ],
)
def test_what_training_never_shows_cannot_be_asked_for(network, conditions, message):
    with pytest.raises(ValueError, match=message):
        made.run(network=network, sampling={"conditions": conditions})


def test_the_model_of_another_run_brings_its_judge():
    network = {"properties": ["alpha"], "judge": "tiny"}
    run = made.run(network=network, trained_by="properties", sampling={"conditions": ALPHA})
    assert run.teacher is None


def test_the_model_of_another_run_is_not_judged_by_this_runs_own_network():
    run = made.run(sampling={"conditions": SCAFFOLD}, trained_by="full")
    assert run.sampling.conditions.kind == "scaffold"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"sampling": {"guidance": 2}}, "guidance strengthens properties or a composition"),
        ({"sampling": {"d_flow": {"iterations": 1}}}, "d_flow moves the start towards properties"),
        (
            {
                "network": {"properties": ["alpha"]},
                "flow": {"types": "catflow"},
                "sampling": {"conditions": ALPHA, "d_flow": {"iterations": 1}},
            },
            r"needs a net to follow \(`network\.guide`\)",
        ),
        (
            {"network": {"properties": ["alpha"], "guide": "tiny"}},
            r"network\.guide without effect: D-Flow alone",
        ),
        (
            {"network": {"mode": "2d"}, "sampling": {"renewal": 1}},
            r"sampling\.renewal without effect",
        ),
        ({"network": {"mode": "2d"}, "flow": {"align": False}}, r"flow\.align without effect"),
        (
            {"network": {"mode": "2d"}, "evaluation": {"relaxed_molecules": 3}},
            r"evaluation\.relaxed_molecules without effect",
        ),
        ({"flow": {"types": "catflow", "label_power": 2}}, "label_power without effect"),
        (
            {"network": {"mode": "2d"}, "flow": {"sharpness": 10, "distortion": 0.1}},
            r"flow\.sharpness, flow\.distortion without effect",
        ),
        (
            {"network": {"properties": ["mu"], "fake_atoms": 2}, "flow": {"kind": "property"}},
            r"network\.fake_atoms without effect: a judge sees",
        ),
        ({"sampling": {"conditions": {**SMILES, "molecules": 1}}}, "molecules without effect"),
        (
            {
                "sampling": {
                    "conditions": {"kind": "scaffold", "fragments": "a.sdf", "molecules": 1}
                }
            },
            "molecules without effect",
        ),
        (
            {"sampling": {"conditions": {**ALPHA, "values": [1.0], "split": "train"}}},
            "split without effect: `values` say",
        ),
        (
            {
                "teacher": "judge",
                "network": {**JUDGED, "guide": "tiny"},
                "sampling": {"conditions": ALPHA, "d_flow": {"iterations": 1}},
            },
            r"sampling\.d_flow needs a net to follow.*catflow",
        ),
    ],
)
def test_a_key_without_effect_is_refused_with_its_name(sections, message):
    with pytest.raises(ValueError, match=message):
        made.run(**sections)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"sampling": {"temperature": 0.5}}, "temperature without effect"),
        ({"training": {"pair_budget": 10}}, r"training\.pair_budget without effect"),
        ({"evaluation": {"posebusters": "full"}}, r"evaluation\.posebusters without effect"),
    ],
)
def test_conformers_of_one_molecule_refuse_what_only_many_need(sections, message):
    with pytest.raises(ValueError, match=message):
        equilibrium_run(**sections)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "2d", "conformers": {"count": 2}}, "conformers without effect: `mode: 2d`"),
        (
            {
                "source": {"kind": "simulate"},
                "simulation": {"smiles": "CCC"},
                "on_fault": "skip",
                "most_heavy_atoms": 3,
            },
            "most_heavy_atoms, on_fault without effect: `simulation`",
        ),
    ],
)
def test_a_dataset_refuses_keys_of_which_nothing_comes(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_written_defaults_are_no_fault():
    for run in (
        made.run(network={"mode": "2d"}, flow={"types": "catflow", "label_power": 1}),
        made.run(sampling={"guidance": 1}),
        equilibrium_run(),
    ):
        assert MoleculesRun(**run.model_dump(mode="json")) == run


def test_a_file_of_fragments_is_what_samples_are_made_anew_for():
    told = made.run(network={"fragments": True}, sampling={"conditions": FRAGMENTS}).sampling
    assert told.files() == [Path("a.sdf")]
    assert made.run().sampling.files() == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"network": JUDGED, "teacher": "judge", "training": {"half": "all"}},
            r"a run that is judged needs `training: \{half: generator\}`",
        ),
        (
            {
                "network": {"properties": ["mu"]},
                "flow": {"kind": "property"},
                "training": {"half": "all"},
            },
            r"a net that judges needs `training: \{half: judge\}`",
        ),
    ],
)
def test_a_judge_and_what_it_judges_learn_from_different_halves(sections, message):
    with pytest.raises(ValueError, match=message):
        made.run(**sections)


def test_a_key_is_named_as_the_file_has_it():
    with pytest.raises(FlowsciError, match=r"made: network\.size: Input should be 'tiny'"):
        check_settings(
            made.run().model_dump(mode="json") | {"network": {"size": "vast"}}, MoleculesRun, "made"
        )
