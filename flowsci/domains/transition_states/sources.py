"""Raw files as reactions: extended XYZ triplets, folders of xyz, HDF5 layouts, reaction SMILES."""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.units import Hartree

from flowsci.domains.transition_states.order import in_mapped_order
from flowsci.domains.transition_states.reactions import Fault, Reaction
from flowsci.domains.transition_states.record import ENDS
from flowsci.errors import FlowsciError

ROLES = {
    **dict.fromkeys(("reactant", "reactants", "r"), "reactant"),
    **dict.fromkeys(("product", "products", "p"), "product"),
    **dict.fromkeys(("transition_state", "ts"), "transition_state"),
}
NAMED = re.compile(r'\breaction=(?:"([^"]*)"|(\S+))')
TRANSITION_1X_ENERGY = "wB97x_6-31G(d).energy"


def read_reactions(files: Sequence[Path], atom_order: str = "same") -> Iterator[Reaction | Fault]:
    """Read files by their endings; a reaction that cannot be read is given as its `Fault`.

    Raises `FlowsciError` where a file is of no known kind or damaged.
    """
    paths = [Path(file) for file in files]
    single = {path for path in paths if _ending(path) == ".xyz" and not _has_roles(path)}
    groups = _by_reaction(sorted(single))
    # the SMILES of a reaction whose geometries stand beside it is no reaction of its own
    beside = {folder / f"{name}.smi" for folder, name in groups}
    for path in paths:
        if path in beside or path in single:
            continue
        kind = _ending(path)
        if kind == ".xyz" or (kind == ".extxyz" and _has_roles(path)):
            yield from _from_triplets(path, atom_order)
        elif kind in READERS:
            yield from READERS[kind](path)
        elif kind == ".extxyz":
            raise FlowsciError(
                f"{path}: its first frame says no role. Write `reaction=` and `role=` into the "
                "second line of every frame."
            )
        else:
            raise FlowsciError(
                f"{path}: files of this kind are not known. Known: .extxyz and .xyz (also .gz), "
                f"{', '.join(READERS)}."
            )
    yield from _from_single_files(groups, atom_order)


def _ending(path: Path) -> str:
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    return endings[-1] if endings else ""


def assemble(
    name: str, frames: Mapping[str, Atoms], smiles: str, file: str, atom_order: str
) -> Reaction:
    """Join the frames of a reaction; raise `Fault` where one is missing or atoms do not match."""
    missing = [role for role in ("reactant", "product") if role not in frames]
    if missing:
        raise Fault("end missing", f"{name}: has no {' and no '.join(missing)}.")
    numbers = {role: atoms.numbers for role, atoms in frames.items()}
    positions = {role: atoms.positions.astype(np.float64) for role, atoms in frames.items()}
    if atom_order == "mapped":
        numbers, positions = in_mapped_order(name, smiles, numbers, positions)
    for role in ("product", "transition_state"):
        if role in numbers:
            _check_same_atoms(name, numbers["reactant"], numbers[role], role)
    energies = {role: _energy(atoms) for role, atoms in frames.items()}
    return Reaction(
        name=name,
        atomic_numbers=numbers["reactant"],
        reactant=positions["reactant"],
        product=positions["product"],
        transition_state=positions.get("transition_state"),
        smiles=smiles,
        energies={role: energy for role, energy in energies.items() if energy is not None},
        charge=_charge(frames.values(), smiles),
        file=file,
    )


def _check_same_atoms(name: str, reactant: np.ndarray, other: np.ndarray, role: str) -> None:
    label = role.replace("_", " ")
    if len(reactant) != len(other):
        raise Fault(
            "different atoms",
            f"{name}: the reactant has {len(reactant)} atoms ({_formula(reactant)}), the {label} "
            f"{len(other)} ({_formula(other)}). Both ends must hold the same atoms.",
        )
    wrong = np.flatnonzero(reactant != other)
    if len(wrong):
        listed = ", ".join(
            f"{i + 1} ({chemical_symbols[reactant[i]]} and {chemical_symbols[other[i]]})"
            for i in wrong[:8]
        )
        raise Fault(
            "different atoms",
            f"{name}: reactant and {label} differ in the atoms {listed}"
            f"{', …' if len(wrong) > 8 else ''}. List the atoms in one order, or give a reaction "
            "SMILES with map numbers and set `atom_order: mapped`.",
        )


def _has_roles(path: Path) -> bool:
    lines = _text(path).split("\n", 2)
    return len(lines) > 1 and "role=" in lines[1]


def _text(path: Path) -> str:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}.") from None


def _frames(path: Path) -> Iterator[Atoms]:
    # the reader seeks, which a compressed file does by reading again from its beginning
    try:
        yield from ase.io.iread(io.StringIO(_text(path)), index=":", format="extxyz")
    except FlowsciError:
        raise
    except Exception as error:
        raise FlowsciError(
            f"{path}: is not a whole file in the (extended) XYZ format: "
            f"{type(error).__name__}: {error}."
        ) from None


def _only_frame(path: Path) -> Atoms:
    frame = next(_frames(path), None)
    if frame is None:
        raise FlowsciError(f"{path}: holds no geometry. Write the atoms, or leave the file out.")
    return frame


def _from_triplets(path: Path, atom_order: str) -> Iterator[Reaction | Fault]:
    """Read frames whose info keys are reaction, role and smiles, reaction by reaction."""
    name, frames, names = None, {}, _reaction_names(path)
    for number, atoms in enumerate(_frames(path), 1):
        role = ROLES.get(str(atoms.info.get("role", "")).lower())
        if role is None or "reaction" not in atoms.info:
            raise FlowsciError(
                f"{path}: frame {number} lacks the key `reaction` or `role` (reactant, "
                "transition_state, product) in its second line."
            )
        found = names[number - 1]
        if found != name and frames:
            yield _try_assemble(name, frames, path, atom_order)
            frames = {}
        if role in frames:
            raise FlowsciError(f"{path}: frame {number}: {found} has two frames of role {role}.")
        name, frames[role] = found, atoms
    if frames:
        yield _try_assemble(name, frames, path, atom_order)


def _reaction_names(path: Path) -> list[str]:
    """Give what each frame's second line says of `reaction`, as it stands there.

    The reader would take 0001, 1e5 or T for numbers and truth values.
    """
    lines = _text(path).splitlines()
    names, place = [], 0
    while place + 1 < len(lines) and lines[place].strip().isdigit():
        said = NAMED.search(lines[place + 1])
        names.append("" if said is None else said[1] or said[2])
        place += int(lines[place]) + 2
    if any(line.strip() for line in lines[place:]):
        raise FlowsciError(
            f"{path}, line {place + 1}: expected a number of atoms, found '{lines[place]}'. Write "
            "frame after frame, without lines between them."
        )
    return names


def _try_assemble(
    name: str, frames: Mapping[str, Atoms], path: Path, atom_order: str
) -> Reaction | Fault:
    said = [str(a.info["smiles"]) for a in frames.values() if a.info.get("smiles")]
    try:
        return assemble(name, frames, said[0] if said else "", stem(path), atom_order)
    except Fault as fault:
        return fault


Groups = dict[tuple[Path, str], dict[str, Path]]
"""The file of each role, by folder and reaction."""


def _by_reaction(paths: Sequence[Path]) -> Groups:
    """Group files `<reaction>/<role>.xyz` or `<reaction>_<role>.xyz` by reaction."""
    groups: Groups = {}
    for path in paths:
        before, _, role = stem(path).rpartition("_")
        name = before or path.parent.name
        if role == "state" and before.endswith("transition"):
            role, name = "ts", before.removesuffix("transition").rstrip("_") or path.parent.name
        if role.lower() not in ROLES:
            raise FlowsciError(
                f"{path}: the name tells no role. Name files <reaction>_r.xyz, _ts.xyz and "
                "_p.xyz, or <reaction>/reactant.xyz, ts.xyz and product.xyz."
            )
        members = groups.setdefault((path.parent, name), {})
        other = members.setdefault(ROLES[role.lower()], path)
        if other != path:
            raise FlowsciError(f"{path}: {other.name} is of the same reaction and role; leave one.")
    return groups


def _from_single_files(groups: Groups, atom_order: str) -> Iterator[Reaction | Fault]:
    for (folder, name), members in sorted(groups.items()):
        frames = {role: _only_frame(path) for role, path in members.items()}
        smiles = folder / f"{name}.smi"
        text = next(iter(_text(smiles).split()), "") if smiles.is_file() else ""
        try:
            yield assemble(name, frames, text, folder.name, atom_order)
        except Fault as fault:
            yield fault


def _from_hdf5(path: Path) -> Iterator[Reaction | Fault]:
    """Read the layout of Transition1x (`data/<formula>/<reaction>/<end>`) or of RGD1."""
    import h5py

    try:
        with h5py.File(path, "r") as content:
            if "data" in content:
                yield from _transition_1x(content, stem(path))
            else:
                yield from _rgd1(content, stem(path))
    except OSError as error:
        raise FlowsciError(f"{path}: is not a whole HDF5 file: {error}.") from None
    except KeyError as error:
        raise FlowsciError(
            f"{path}: is laid out neither as Transition1x nor as RGD1: {error}."
        ) from None


def _transition_1x(content, file: str) -> Iterator[Reaction | Fault]:
    """Positions in Å and energies in eV; the groups train, val and test name the split."""
    splits = {
        f"{formula}/{name}": split
        for split in ("train", "val", "test")
        for formula, group in content.get(split, {}).items()
        for name in group
    }
    for formula, group in content["data"].items():
        for name, entry in group.items():
            frames = {}
            for end in ENDS:
                positions = np.asarray(entry[end]["positions"], dtype=np.float64).reshape(-1, 3)
                frames[end] = Atoms(numbers=entry[end]["atomic_numbers"][()], positions=positions)
                if TRANSITION_1X_ENERGY in entry[end]:
                    energy = entry[end][TRANSITION_1X_ENERGY][()]
                    frames[end].info["energy"] = float(np.ravel(energy)[0])
            full = f"{formula}/{name}"
            try:
                yield assemble(full, frames, "", splits.get(full, file), "same")
            except Fault as fault:
                yield fault


def _rgd1(content, file: str) -> Iterator[Reaction | Fault]:
    """Positions in Å, energies in Hartree; SMILES of the ends as text."""
    for name, entry in content.items():
        numbers = entry["elements"][()]
        frames = {}
        for end, short in (("reactant", "R"), ("transition_state", "TS"), ("product", "P")):
            frames[end] = Atoms(numbers=numbers, positions=np.asarray(entry[f"{short}G"]))
            if f"{short}_E" in entry:
                frames[end].info["energy"] = float(entry[f"{short}_E"][()]) * Hartree
        ends = [entry[key][()] for key in ("Rsmiles", "Psmiles") if key in entry]
        smiles = ">>".join(e.decode() if isinstance(e, bytes) else str(e) for e in ends)
        try:
            yield assemble(name, frames, smiles if ":" in smiles else "", file, "same")
        except Fault as fault:
            yield fault


def _from_smiles(path: Path) -> Iterator[Reaction | Fault]:
    """Read lines `<mapped reaction SMILES> [name]`; both ends are embedded in space."""
    from flowsci.domains.transition_states.embedding import embed_ends

    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        smiles, *rest = line.split(maxsplit=1)
        name = rest[0].strip() if rest else f"{stem(path)}_{number}"
        try:
            yield embed_ends(name, smiles, stem(path))
        except Fault as fault:
            yield fault


READERS: Mapping[str, Callable[[Path], Iterator[Reaction | Fault]]] = {
    ".h5": _from_hdf5,
    ".hdf5": _from_hdf5,
    ".smi": _from_smiles,
}


def stem(path: Path) -> str:
    """Give the name of a file without folder and endings."""
    return path.name.split(".")[0]


def _energy(atoms: Atoms) -> float | None:
    """Give the energy in eV that a frame names: ASE moves it from info to a calculator."""
    if "energy" in atoms.info:
        return float(atoms.info["energy"])
    results = atoms.calc.results if atoms.calc is not None else {}
    return float(results["energy"]) if "energy" in results else None


def _whole(charge: object) -> int:
    try:
        return int(str(charge))
    except ValueError:
        raise Fault("charge", f"charge={charge} is no whole number.") from None


def _charge(frames, smiles: str) -> int:
    said = [_whole(atoms.info["charge"]) for atoms in frames if "charge" in atoms.info]
    if said or not smiles:
        return said[0] if said else 0
    from flowsci.domains.transition_states.graphs import molecule_of_smiles

    molecule = molecule_of_smiles(smiles.split(">>")[0])
    return sum(atom.GetFormalCharge() for atom in molecule.GetAtoms())


def _formula(numbers: np.ndarray) -> str:
    return Atoms(numbers=numbers).get_chemical_formula()
