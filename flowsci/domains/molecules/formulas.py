"""Formulas such as C7H10O2."""

import re
from collections.abc import Sequence

from flowsci.errors import FlowsciError

TERM = re.compile(r"([A-Z][a-z]?)(\d*)")


def parse_formula(formula: str, elements: Sequence[int]) -> dict[int, int]:
    """Count the atoms of each atomic number; raise for what is no formula of these elements."""
    from ase.data import atomic_numbers, chemical_symbols

    terms = TERM.findall(formula)
    if not terms or "".join(symbol + count for symbol, count in terms) != formula:
        raise FlowsciError(
            f"sampling.conditions.formulas: '{formula}' is no formula. Write it as C7H10O2."
        )
    found: dict[int, int] = {}
    for symbol, count in terms:
        number = atomic_numbers.get(symbol)
        if number not in elements:
            known = ", ".join(chemical_symbols[element] for element in elements)
            raise FlowsciError(
                f"sampling.conditions.formulas: '{formula}': {symbol} is none of the dataset's "
                f"elements ({known}). Leave it out, or train on molecules that hold it."
            )
        found[number] = found.get(number, 0) + int(count or 1)
    return found
