"""Properties from the fields of a record."""

import math
from collections.abc import Mapping

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Fault
from flowsci.domains.molecules.units import conversion


def stored_units(settings: MoleculesData) -> Mapping[str, str]:
    """Give the stored unit of each property that the settings name."""
    return {name: conversion(name, unit)[0] for name, unit in settings.properties.items()}


def properties_of(
    fields: Mapping[str, str], settings: MoleculesData, name: str
) -> Mapping[str, float]:
    """Read the properties of a record, NaN where one is missing, empty or `nan`.

    Raises `Fault` where a value is no number, or infinite.
    """
    found = {}
    for key, unit in settings.properties.items():
        text = str(fields.get(key) or "").strip()
        try:
            value = float(text) if text else math.nan
        except ValueError:
            raise _no_number(name, key, text, unit) from None
        found[key] = value * conversion(key, unit)[1]
        if math.isinf(found[key]):
            raise _no_number(name, key, text, unit)
    return found


def _no_number(name: str, key: str, text: str, unit: str) -> Fault:
    return Fault(
        "property is no number",
        f"{name}: the property {key} is '{text}', a finite number in {unit} was expected, or "
        "nothing where it is unknown.",
    )
