"""The sciences. Each domain is an object that answers `flowsci.domains.contract.Domain`."""

from functools import cache
from importlib.metadata import entry_points

from flowsci.domains.contract import Domain
from flowsci.errors import FlowsciError

GROUP = "flowsci.domains"


@cache
def domain_names() -> tuple[str, ...]:
    """Name the installed domains, of this package and of others."""
    return tuple(sorted(entry_points(group=GROUP).names))


@cache
def find_domain(name: str) -> Domain:
    """Give the domain called `name`; raise `FlowsciError` where none is installed."""
    if name not in domain_names():
        known = ", ".join(domain_names()) or "none: install the package with `pip install -e .`"
        raise FlowsciError(f"There is no domain '{name}'. Installed domains: {known}.")
    domain: Domain = entry_points(group=GROUP)[name].load()
    return domain
