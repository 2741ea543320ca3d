"""Units of properties: what is understood, and what is stored."""

from collections.abc import Mapping

from ase import units

from flowsci.errors import FlowsciError

FACTORS: Mapping[str, tuple[str, float]] = {
    "eV": ("eV", 1.0),
    "meV": ("eV", 1e-3),
    "Hartree": ("eV", units.Hartree),
    "kcal/mol": ("eV", units.kcal / units.mol),
    "kJ/mol": ("eV", units.kJ / units.mol),
    "Debye": ("Debye", 1.0),
    "e Å": ("Debye", 1 / units.Debye),
    "Bohr^3": ("Bohr^3", 1.0),
    "Å^3": ("Bohr^3", units.Bohr**-3),
    "Bohr^2": ("Bohr^2", 1.0),
    "Å^2": ("Bohr^2", units.Bohr**-2),
    "cal/(mol K)": ("cal/(mol K)", 1.0),
    "J/(mol K)": ("cal/(mol K)", 1 / 4.184),
    "1": ("1", 1.0),
}
"""The unit that is stored, and the factor to it, by the unit that is understood."""

STORED: Mapping[str, str] = {
    "mu": "Debye",
    "alpha": "Bohr^3",
    "homo": "eV",
    "lumo": "eV",
    "gap": "eV",
    "cv": "cal/(mol K)",
    "r2": "Bohr^2",
    "zpve": "eV",
    "u0": "eV",
    "u298": "eV",
    "h298": "eV",
    "g298": "eV",
}
"""The unit that the properties of QM9 are stored in."""


def conversion(name: str, unit: str) -> tuple[str, float]:
    """Give the stored unit of a property and the factor to it from `unit`.

    Raises `FlowsciError` where the unit is not known, or is none of this property.
    """
    if unit not in FACTORS:
        raise FlowsciError(
            f"properties: {name}: the unit '{unit}' is not known. Known: {', '.join(FACTORS)}."
        )
    stored, factor = FACTORS[unit]
    if STORED.get(name, stored) != stored:
        fitting = ", ".join(u for u, (kind, _) in FACTORS.items() if kind == STORED[name])
        raise FlowsciError(
            f"properties: {name}: is no quantity in {unit}. Understood: {fitting}; or name the "
            "property otherwise."
        )
    return stored, factor
