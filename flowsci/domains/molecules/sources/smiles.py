"""SMILES, with conformers by ETKDG and MMFF94 where positions are wanted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from flowsci.domains.molecules.data_settings import ConformerSettings, MoleculesData
from flowsci.domains.molecules.graphs import from_rdkit, sanitized, without_hydrogens
from flowsci.domains.molecules.molecule import Fault, Molecule, check_geometry, check_size
from flowsci.domains.molecules.sources.finish import check_heavy
from flowsci.domains.molecules.sources.text import kind_of, opened, stem
from flowsci.domains.molecules.sources.values import stored_units


class Smiles:
    """Lines `<SMILES> [name]`."""

    kind = "lines of SMILES (.smi)"

    def knows(self, path: Path, beginning: bytes) -> bool:
        return kind_of(path) in (".smi", ".smiles")

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        return stored_units(settings)

    def records(
        self, path: Path, files: Sequence[Path], settings: MoleculesData
    ) -> Iterator[tuple[str, str]]:
        with opened(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip() and not line.startswith("#"):
                    smiles, *rest = line.split(maxsplit=1)
                    yield rest[0].strip() if rest else f"{stem(path)}_{number}", smiles

    def fields(self, record: tuple[str, str]) -> Iterable[str]:
        return ()

    def parse(self, record: tuple[str, str], settings: MoleculesData, row: int) -> list[Molecule]:
        return molecules_of(*record, {}, settings, row)


def molecules_of(
    name: str, smiles: str, properties: Mapping[str, float], settings: MoleculesData, row: int
) -> list[Molecule]:
    """Read a SMILES, which says its hydrogens; in the mode `3d` a molecule for each conformer.

    Raises `Fault` where it cannot be read or embedded in space.
    """
    parsed = Chem.MolFromSmiles(smiles, sanitize=False)
    if parsed is None or not parsed.GetNumAtoms():
        raise Fault("unreadable SMILES", f"{name}: '{smiles}' is no SMILES of a molecule.")
    molecule = sanitized(parsed, name)
    check_heavy(molecule.GetNumHeavyAtoms(), settings.most_heavy_atoms)
    bare = settings.hydrogens == "none"
    molecule = without_hydrogens(molecule) if bare else Chem.AddHs(molecule)
    check_size(name, molecule.GetNumAtoms(), settings.largest_atoms)
    if settings.mode == "2d":
        return [from_rdkit(molecule, name, properties, positions=False)]
    # a molecule's conformers depend on its row alone, not on what was read before
    seed = (settings.seed * 1_000_003 + row) % 2**31
    found = []
    for number, conformer in enumerate(embedded(molecule, name, settings.conformers, seed)):
        label = name if settings.conformers.count == 1 else f"{name}_{number + 1}"
        read = from_rdkit(conformer, label, properties, positions=True)
        check_geometry(read)
        found.append(read)
    return found


def embedded(
    molecule: Chem.Mol, name: str, settings: ConformerSettings, seed: int
) -> list[Chem.Mol]:
    """Give molecules with a conformer each; raise `Fault` where one cannot be had.

    ETKDG, version 3: Wang et al., J. Chem. Inf. Model. 60, 2044 (2020). MMFF94 as in RDKit.
    """
    options = rdDistGeom.ETKDGv3()
    options.randomSeed = seed
    numbers = list(rdDistGeom.EmbedMultipleConfs(molecule, settings.count, options))
    if len(numbers) < settings.count:
        raise Fault(
            "no conformer",
            f"{name}: ETKDG finds {len(numbers)} of {settings.count} conformers.",
        )
    if settings.force_field == "mmff":
        _relax(molecule, name, settings.steps)
    return [Chem.Mol(molecule, confId=number) for number in numbers]


def _relax(molecule: Chem.Mol, name: str, steps: int) -> None:
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        raise Fault(
            "no force field",
            f"{name}: MMFF94 has no parameters for it. `conformers.force_field: none` keeps the "
            "geometry of ETKDG.",
        )
    done = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=steps)
    unfinished = sum(1 for flag, _ in done if flag)
    if unfinished:
        raise Fault(
            "not relaxed",
            f"{name}: {unfinished} conformers are not relaxed after {steps} steps; raise "
            "`conformers.steps`.",
        )


source = Smiles()
