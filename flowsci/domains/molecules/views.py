"""What a training view is told of its molecule: properties, composition, a fragment, the graph.

Each view draws what is asked for and what is given, so that one network serves every condition and
none. Names in a batch: `properties` (batch, properties) and `composition` (batch, elements), NaN
where nothing is asked for; `known` (batch, n), the atoms whose labels, and mutual bonds, are told;
`given` (batch, n), the atoms whose positions are told as well.
"""

import torch
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.molecules.fake import with_fake_atoms
from flowsci.domains.molecules.settings import MoleculesTraining, NetworkSettings

EVERY = 0.5
"""Share of views, of those that ask at all, in which one of several conditions is asked for."""


def random_views(
    batch: Batch,
    network: NetworkSettings,
    settings: MoleculesTraining,
    generator: torch.Generator,
) -> Batch:
    """Give a training batch with what each view is told, drawn at random."""
    view, rows = dict(batch), len(batch["mask"])
    asks = torch.rand(rows, 1, generator=generator) >= settings.unconditional
    every = EVERY if len(network.properties) + network.composition > 1 else 1.0
    for name, known in (
        ("properties", bool(network.properties)),
        ("composition", network.composition),
    ):
        if known:
            view[name] = _asked(batch[name], asks, every, name == "composition", generator)
        else:
            view.pop(name, None)
    if network.fragments:
        told, graph = torch.rand(2, rows, 1, generator=generator)
        told, graph = told < settings.fragment_share, graph < settings.graph_share
        fragment = random_fragments(batch, generator)
        view["known"] = told & torch.where(graph, batch["mask"], fragment)
        # a graph has no positions that could be given
        placed = "positions" in batch
        view["given"] = told & ~graph & fragment if placed else torch.zeros_like(fragment)
    most = network.fake_atoms
    return with_fake_atoms(view, most, generator) if most else view


def _asked(
    values: Tensor, asks: Tensor, every: float, together: bool, generator: torch.Generator
) -> Tensor:
    """Put NaN for what is not asked for: one by one, or all of a row `together`."""
    shape = (len(values), 1) if together else values.shape
    asked = asks & (torch.rand(shape, generator=generator) < every)
    return torch.where(asked, values, torch.nan)


def random_fragments(batch: Batch, generator: torch.Generator) -> Tensor:
    """Draw connected fragments (batch, n): the atoms nearest in the graph to a random one.

    Half of them have heavy atoms alone; at least one atom, and never all of several.
    """
    mask, rows, n = batch["mask"], *batch["mask"].shape
    heavy = mask & (batch["atomic_numbers"] > 1)
    bare = (torch.rand(rows, generator=generator) < 0.5) & (heavy.sum(1) > 1)
    allowed = torch.where(bare.unsqueeze(1), heavy, mask)
    start = (torch.rand(rows, n, generator=generator) * allowed).argmax(1)
    distance = graph_distances(batch["bonds"] > 0, allowed, start)
    near = distance + torch.rand(rows, n, generator=generator)
    count = allowed.sum(1)
    most = torch.minimum(count, mask.sum(1) - 1).clamp(min=1)
    size = 1 + (torch.rand(rows, generator=generator) * most).long()
    rank = near.argsort(1).argsort(1)
    return (rank < size.unsqueeze(1)) & allowed & distance.isfinite()


def graph_distances(bonded: Tensor, allowed: Tensor, start: Tensor) -> Tensor:
    """Count the bonds (batch, n) from atom `start` (batch,), over allowed atoms; inf if apart."""
    rows, n = allowed.shape
    distance = torch.full((rows, n), torch.inf)
    reached = torch.nn.functional.one_hot(start, n).bool() & allowed
    ways = (bonded & allowed[:, None] & allowed[:, :, None]).float()
    for step in range(n):
        fresh = reached & distance.isinf()
        if not bool(fresh.any()):
            break
        distance = torch.where(fresh, float(step), distance)
        reached = torch.bmm(ways, fresh.unsqueeze(-1).float()).squeeze(-1) > 0
    return distance
