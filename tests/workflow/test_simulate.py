"""A simulated dataset: a job a chunk, one that joins them, and preparation after it."""

from .conftest import CONFIG, Project

DATA = {
    "domain": "transition_states",
    "title": "Made",
    "level": "GFN2-xTB",
    "licence": "none",
    "citation": "none",
    "source": {"kind": "simulate", "chunks": 3, "inputs": {"kind": "path", "path": "qm9.csv"}},
    "simulation": {"most_heavy_atoms": 3},
}
RUN = {
    "domain": "transition_states",
    "data": "made",
    "title": "Made",
    "training": {"steps": 4, "minutes": 1},
    "sampling": {"samples": 1, "steps": 1},
}


def test_chunks_are_jobs_that_preparation_waits_for(project: Project):
    (project.folder / "qm9.csv").write_text("Index,SMILES,Elements,XYZ_Ang\n")
    project.write("config/data/transition_states/made.yaml", DATA)
    project.write("config/runs/transition_states/made.yaml", RUN)
    project.write("config/config.yaml", CONFIG | {"runs": ["transition_states/made"]})
    jobs = project.jobs("prepare")
    expected = {"acquire": 1, "simulate_chunk": 3, "join_chunks": 1, "prepare_data": 1}
    assert {name: jobs[name] for name in expected} == expected
