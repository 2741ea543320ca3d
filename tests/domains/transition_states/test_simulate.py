"""The `simulate` source: chunks change nothing, interrupted work goes on, failures are counted."""

import gzip
import json
from pathlib import Path

import pytest
import yaml

from flowsci import stages
from flowsci.domains.transition_states import simulate as rooms
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.settings import SimulationSettings
from flowsci.errors import FlowsciError
from flowsci.runs import load_data

HEADER = "Index,SMILES,Elements,XYZ_Ang\n"
MOLECULES = {
    25: ("N#CC#N", "CCNN", [[0, 0, 0.69], [0, 0, -0.69], [0, 0, 1.85], [0, 0, -1.85]]),
    27: (
        "O=CC#N",
        "OCCNH",
        [[0.78, 1.77, 0], [0.7, 0.57, 0], [-0.55, -0.2, 0], [-1.55, -0.79, 0], [1.6, -0.07, 0]],
    ),
    8: (
        "CO",
        "COHHHH",
        [
            [-0.05, 0.66, 0],
            [-0.05, -0.76, 0],
            [-1.08, 0.98, 0],
            [0.44, 1.07, 0.89],
            [0.44, 1.07, -0.89],
            [0.86, -1.06, 0],
        ],
    ),
}


def row(index: int) -> str:
    smiles, symbols, positions = MOLECULES[index]
    return f'{index},{smiles},"{list(symbols)}","{positions}"\n'


def write_data(folder: Path, table: str, chunks: int) -> Path:
    (folder / "qm9.csv").write_text(table)
    path = folder / "config" / "data" / "transition_states" / f"made_{chunks}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "domain": "transition_states",
        "title": "Made",
        "level": "GFN2-xTB",
        "licence": "none",
        "citation": "none",
        "source": {
            "kind": "simulate",
            "chunks": chunks,
            "inputs": {"kind": "path", "path": str(folder / "qm9.csv")},
        },
        "simulation": {"most_heavy_atoms": 4, "products": 3},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def table() -> str:
    return HEADER + "".join(map(row, MOLECULES))


def _table(folder: Path) -> Path:
    path = folder / "qm9.csv"
    path.write_text(table())
    return path


def test_chunks_change_nothing_and_are_counted(tmp_path):
    results = {}
    for chunks in (1, 2):
        data = load_data(write_data(tmp_path, table(), chunks))
        stages.simulate(data, tmp_path / f"out_{chunks}")
        results[chunks] = (tmp_path / f"out_{chunks}" / rooms.FILE).read_bytes()
        manifest = json.loads((tmp_path / f"out_{chunks}" / "manifest.json").read_text())
        counts = manifest["counts"]
        assert counts["molecules"] == 3
        assert counts["attempts"] == counts["reactions"] + sum(counts["failures"].values())
    assert results[1] == results[2]
    text = gzip.decompress(results[1]).decode()
    assert text.count("role=transition_state") == counts["reactions"] > 0
    assert sorted(path.name for path in tmp_path.glob("out_*")) == ["out_1", "out_2"]


def test_an_interrupted_chunk_goes_on_with_what_it_has(tmp_path, monkeypatch):
    data = load_data(write_data(tmp_path, table(), 1))
    explored = []
    honest = rooms.explore

    def stop_at_the_second(molecule, *rest):
        if len(explored) == 1:
            raise KeyboardInterrupt
        explored.append(molecule.name)
        return honest(molecule, *rest)

    monkeypatch.setattr(rooms, "explore", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        stages.simulate_chunk(data, 0, tmp_path / "chunk")
    assert not (tmp_path / "chunk").exists()
    monkeypatch.setattr(
        rooms, "explore", lambda m, *rest: explored.append(m.name) or honest(m, *rest)
    )
    stages.simulate_chunk(data, 0, tmp_path / "chunk")
    assert sorted(explored) == ["qm9_000008", "qm9_000025", "qm9_000027"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_finished_chunks_stay(tmp_path, monkeypatch):
    data = load_data(write_data(tmp_path, table(), 3))
    stages.simulate_chunk(data, 0, tmp_path / "out-chunks" / "0-of-3")
    explored = []
    honest = rooms.explore
    monkeypatch.setattr(
        rooms, "explore", lambda m, *rest: explored.append(m.name) or honest(m, *rest)
    )
    stages.simulate(data, tmp_path / "out")
    assert len(explored) == 2


def test_ends_that_cannot_be_written_as_smiles_are_counted(tmp_path, monkeypatch):
    def refuse(*_):
        raise Failure("no_kekule_structure")

    monkeypatch.setattr(rooms, "triplet", refuse)
    molecule = rooms.read_molecules([_table(tmp_path)], ["H", "C", "N", "O"], 4)[0]
    outcome = rooms.explore(molecule, SimulationSettings(products=3), seed=0)
    assert not outcome["reactions"]
    assert sum(outcome["causes"].values()) == outcome["attempts"]
    assert outcome["causes"]["no_kekule_structure"] > 0


def test_a_chunk_that_is_not_and_a_source_of_another_kind_are_named(tmp_path):
    path = write_data(tmp_path, table(), 2)
    with pytest.raises(FlowsciError, match="no chunk 2"):
        stages.simulate_chunk(load_data(path), 2, tmp_path / "chunk")
    settings = yaml.safe_load(path.read_text())
    settings["source"] = settings["source"]["inputs"]
    del settings["simulation"]
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(FlowsciError, match="'path', which is not simulated"):
        stages.simulate_chunk(load_data(path), 0, tmp_path / "chunk")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Index,SMILES\n1,C\n", "column Elements, XYZ_Ang is missing"),
        (HEADER + '1,C,"[\'C\']","[[0, 0]]"\n', "line 2 is not a molecule"),
        (HEADER + '1,C,"__import__(\'os\')","[]"\n', "line 2 is not a molecule"),
        (HEADER, "no molecule"),
    ],
)
def test_tables_of_another_kind_are_named(tmp_path, content: str, message: str):
    data = load_data(write_data(tmp_path, content, 1))
    with pytest.raises(FlowsciError, match=message):
        stages.simulate_chunk(data, 0, tmp_path / "chunk")
