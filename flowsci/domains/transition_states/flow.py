"""The flow of a reaction: from the stress embedding of its ends to its transition state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.transition_states.network import Context, ReactionTransformer, Said
from flowsci.domains.transition_states.settings import (
    FlowSettings,
    NetworkSettings,
    ReactionSampling,
)
from flowsci.domains.transition_states.verdicts import judge_samples
from flowsci.errors import FlowsciError
from flowsci.flow import (
    GRIDS,
    METHODS,
    CentredGaussian,
    CleanPrediction,
    FlowMatching,
    Loss,
    NetworkField,
    Times,
    solve,
    superpose,
)
from flowsci.flow.masks import centre, sample_mean
from flowsci.nets.pairs import Pairs

SMALLEST_SQUARE = 1e-8
SMALLEST_MOVE = 1e-4
CONFIDENCE_WEIGHT = 0.1
SECOND_LOOK = 0.8
"""Share of the way to its first answer from where the network is asked again."""


@dataclass(frozen=True)
class StartAndUniform(Times):
    """t = 0 with probability `at_start`, else uniform: the first call decides the most."""

    at_start: float

    def sample(self, batch: int, generator: torch.Generator) -> Tensor:
        picked, t = torch.rand(2, batch, generator=generator, device=generator.device)
        return torch.where(picked < self.at_start, 0.0, t)


class ReactionFlow:
    """The network of a run with its objective and its sampler."""

    def __init__(
        self, network: NetworkSettings, flow: FlowSettings, statistics: Mapping[str, Any]
    ) -> None:
        self.distance_weight = flow.distance_weight
        self.own_states = flow.own_states
        self.objective = FlowMatching(
            source=CentredGaussian(flow.noise_angstrom),
            said=CleanPrediction,
            times=StartAndUniform(flow.at_start),
        )
        self.network = ReactionTransformer(network, statistics)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give RMSD after superposition, plus the weighted mean errors of distances, in Å.

        These are errors of the positions' distances and of those that the positions were fitted to.
        The transition state is laid on the start, which the noise displaces. The head for the
        confidence learns beside, from the logarithm of the error of distances.
        """
        mask = batch["mask"]
        start = centre(batch["start"], mask)
        target = superpose(batch["transition_state"], start, mask)
        noise = self.objective.source.sample(start, generator, mask)
        t = self.objective.times.sample(len(start), generator).to(start)
        own = torch.rand(len(t), generator=generator, device=generator.device).to(t)
        reached = self._reached(
            network, batch, start + noise, target, (t > 0) & (own < self.own_states)
        )
        x, _ = self.objective.corrupt(reached, t, generator, mask=mask, x0=start + noise)
        said = network(x, t, batch)
        rmsd, distance = errors(said.positions, target, mask)
        fear = (said.log_error - distance.detach().clamp(min=1e-3).log()) ** 2
        wanted = distance_errors(said.distances, target, mask)
        error = rmsd + self.distance_weight * (distance + wanted)
        value = (error + CONFIDENCE_WEIGHT * fear).mean()
        return Loss(value, error, {"rmsd": rmsd, "d_mae": distance, "fear": fear}, times=t)

    def _reached(
        self, network: nn.Module, batch: Batch, x: Tensor, target: Tensor, own: Tensor
    ) -> Tensor:
        """Give `target` (batch, n, 3), or where `own` (batch,) what the network says at t = 0.

        A state on the way to its own answer is what the network meets when it is sampled from, so
        that later calls learn to mend the first.
        """
        if not own.any():
            return target
        some = {name: tensor[own] for name, tensor in batch.items()}
        with torch.no_grad():
            said = network(x[own], x.new_zeros(len(some["mask"])), some)
        return target.index_put((own,), said.positions)

    def sample(
        self,
        network: ReactionTransformer,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: ReactionSampling,
    ) -> dict[str, Tensor]:
        """Draw positions (reactions, samples, n, 3) in Å, laid on the reactant.

        The first sample of a reaction starts from the stress embedding, the others from it plus
        noise. `expected_d_mae` (reactions, samples) in Å is the calibrated error; it takes one call
        of the network more.
        """
        mask, count = batch["mask"], settings.samples
        every = mask.repeat_interleave(count, dim=0)
        start = centre(batch["start"], mask).repeat_interleave(count, dim=0)
        x = start + settings.noise * self._noise(mask, generators).to(start)
        context = network.encode(batch).repeat(count)
        answers: list[Said] = []

        def clean(x: Tensor, t: Tensor, condition: Any) -> Tensor:
            answers.append(network(x, t, condition))
            return answers[-1].positions

        field = NetworkField(clean, self.objective.path, CleanPrediction)
        grid = GRIDS[settings.grid](settings.steps)
        begun = x
        x = solve(field, x, grid, METHODS[settings.method](), condition=context)
        x = superpose(x, batch["reactant"].repeat_interleave(count, dim=0), every)
        evidences, _ = self._look_again(network, begun, answers[0], context)
        expected = network.confidence(evidences)
        shape = (len(mask), count)
        drawn = {"positions": x.unflatten(0, shape), "expected_d_mae": expected.unflatten(0, shape)}
        if settings.refine == "gfn2":
            drawn |= judge_samples(batch, drawn["positions"], settings.refinement)
        return drawn

    def calibrate(self, network: ReactionTransformer, validation: Batches) -> None:
        """Fit the confidence to the errors of second answers."""
        evidences, found = [], []
        with torch.no_grad():
            for number in range(len(validation)):
                batch = _on_device_of(network, validation[number])
                start, context = centre(batch["start"], batch["mask"]), network.encode(batch)
                first = network(start, start.new_zeros(len(start)), context)
                evidence, second = self._look_again(network, start, first, context)
                evidences.append(evidence)
                found.append(errors(second, batch["transition_state"], batch["mask"])[1])
        network.confidence.fit(torch.cat(evidences), torch.cat(found))

    def _look_again(
        self, network: ReactionTransformer, x: Tensor, first: Said, context: Context
    ) -> tuple[Tensor, Tensor]:
        """Give evidences (batch, 4) of the error of the first answer from `x`, and the second.

        They are the error that the network fears, its doubts about distances, and how far a second
        answer, asked for on the way to the first, moves the distances.
        """
        t = x.new_full((len(x),), SECOND_LOOK)
        second = network(torch.lerp(x, first.positions, SECOND_LOOK), t, context).positions
        moved = errors(second, first.positions, context.mask)[1].clamp(min=SMALLEST_MOVE).log()
        evidences = [first.log_error.unsqueeze(-1), first.doubts, moved.unsqueeze(-1)]
        return torch.cat(evidences, dim=-1), second

    def learn_from(self, teacher: Model) -> None:
        """Refuse: the flow learns from data alone."""
        raise FlowsciError(
            "transition_states: this flow has no use for a teacher; remove `teacher`."
        )

    def _noise(self, mask: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw noise (reactions * samples, n, 3) for real atoms only; none for first samples."""
        samples = len(generators) // len(mask)
        noise = torch.zeros(len(generators), mask.shape[1], 3)
        for row, generator in enumerate(generators):
            if row % samples:
                real = mask[row // samples].cpu()
                like = noise[row : row + 1, real]
                noise[row : row + 1, real] = self.objective.source.sample(like, [generator])
        return noise


def errors(positions: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Give RMSD after superposition and mean absolute error of distances, (batch,), in Å."""
    laid = superpose(target, positions.detach(), mask)
    square = 3 * sample_mean((positions - laid) ** 2, mask)
    lengths = torch.linalg.vector_norm(Pairs.of(mask).between(positions), dim=-1)
    return (square + SMALLEST_SQUARE).sqrt(), distance_errors(lengths, target, mask)


def distance_errors(lengths: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Give the mean absolute error (batch,) of lengths (pairs,) against target positions."""
    pairs = Pairs.of(mask)
    return pairs.means(
        (lengths - torch.linalg.vector_norm(pairs.between(target), dim=-1)).abs(), mask
    )


def _on_device_of(network: nn.Module, batch: Batch) -> Batch:
    device = next(network.parameters()).device
    return {name: tensor.to(device) for name, tensor in batch.items()}
