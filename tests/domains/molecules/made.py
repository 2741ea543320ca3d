"""A small dataset for tests: conformers of simple molecules, by the domain's own reader."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.settings import MoleculesRun
from flowsci.store.prepared import Prepared

SMILES = (
    *("C", "N", "O", "CC", "CO", "CN", "C=O", "C#N", "C=C", "C#C", "CCO", "CCC", "COC", "CC=O"),
    *("CC#N", "C1CC1", "NC=O", "CF", "CCN", "C1CO1", "CC(C)C", "CC(=O)O", "C1CCC1", "C[NH3+]"),
    *("OCC=O", "CC(=O)N", "FC(F)F", "C=CC", "C1=CC1", "NCC", "OC=O", "CCF", "CNC", "N=C", "CCCC"),
)


@cache
def prepared(mode: str = "3d", hydrogens: str = "explicit") -> Prepared:
    """Prepare the molecules above."""
    settings = MoleculesData(
        domain="molecules",
        title="Made molecules",
        licence="none",
        citation="none",
        source={"kind": "path", "path": "made.smi"},
        processes=1,
        mode=mode,
        hydrogens=hydrogens,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.smi"
        path.write_text("\n".join(SMILES), encoding="utf-8")
        return domain.prepare([path], settings)


def run(teacher: str | None = None, trained_by: str | None = None, **sections) -> MoleculesRun:
    """Settings of a tiny run; `sections` add to each."""
    base = {
        "network": {"size": "tiny", "width": 24, "pair_width": 8, "layers": 2, "heads": 2},
        "flow": {},
        "training": {"steps": 5, "minutes": 1, "batch_size": 4},
        "sampling": {"samples": 1, "steps": 3, "conditions": {"molecules": 4}},
        "evaluation": {},
    }
    for name, section in sections.items():
        base[name] = {**base[name], **section}
    base["network"].setdefault("vectors", 4)
    if base["flow"].get("kind") == "property":
        base["training"].setdefault("half", "judge")
    elif teacher is not None:
        base["training"].setdefault("half", "generator")
    names = {"domain": "molecules", "data": "made", "title": "Made"}
    return MoleculesRun(**names, teacher=teacher, trained_by=trained_by, **base)
