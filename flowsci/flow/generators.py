"""Randomness from explicit generators, one for a call or one for a sample.

With a sequence, row i of every draw comes from generator i, so a sample does not depend on the
batch, the shard or the device that it was drawn in: draws are made on the generator's own device
and then moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from flowsci.errors import FlowsciError

Generators = torch.Generator | Sequence[torch.Generator]
Draw = Callable[..., Tensor]


def sample_generators(seed: int, indices: Iterable[int]) -> list[torch.Generator]:
    """Make one CPU generator a sample, seeded by a hash of the run's seed and the index."""
    return [torch.Generator().manual_seed(_hash(seed, index)) for index in indices]


def normal(
    shape: Sequence[int],
    generators: Generators,
    *,
    like: Tensor | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draw standard normal values of `shape` (batch first), on the device and dtype of `like`."""
    return _draw(torch.randn, shape, generators, like, dtype, device)


def uniform(
    shape: Sequence[int],
    generators: Generators,
    *,
    like: Tensor | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draw uniform values in [0, 1) of `shape` (batch first), on the device and dtype of `like`."""
    return _draw(torch.rand, shape, generators, like, dtype, device)


def save_states(generators: Generators | None) -> list[Tensor]:
    """Keep the state of every generator, so that a call can be made again with `restore_states`."""
    return [generator.get_state() for generator in _as_list(generators)]


def restore_states(generators: Generators | None, states: list[Tensor]) -> None:
    """Put the generators back where `save_states` found them."""
    for generator, state in zip(_as_list(generators), states, strict=True):
        generator.set_state(state)


def require(generators: Generators | None, user: str) -> Generators:
    """Return the generators, or raise and name who needs them."""
    if generators is None:
        raise FlowsciError(f"{user} is random: pass `generators`")
    return generators


def _as_list(generators: Generators | None) -> list[torch.Generator]:
    if generators is None:
        return []
    return [generators] if isinstance(generators, torch.Generator) else list(generators)


def _hash(seed: int, index: int) -> int:
    digest = hashlib.blake2b(f"{int(seed)}/{int(index)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _draw(
    draw: Draw,
    shape: Sequence[int],
    generators: Generators,
    like: Tensor | None,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
) -> Tensor:
    if like is not None:
        dtype = dtype or (like.dtype if like.is_floating_point() else None)
        device = device or like.device
    dtype = dtype or torch.get_default_dtype()
    device = device or "cpu"
    if isinstance(generators, torch.Generator):
        origin = generators.device
        values = draw(tuple(shape), generator=generators, dtype=dtype, device=origin)
        return values.to(device)
    if len(generators) != shape[0]:
        raise FlowsciError(
            f"{len(generators)} generators for a batch of {shape[0]}: give one for each sample"
        )
    rows = [draw(tuple(shape[1:]), generator=g, dtype=dtype, device=g.device) for g in generators]
    if not rows:
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    return torch.stack(rows).to(device)
