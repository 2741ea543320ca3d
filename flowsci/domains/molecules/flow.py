"""The flow of molecules: positions, atom types, charges and bonds, from noise, in one call each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.molecules.conditions import REAL
from flowsci.domains.molecules.dflow import optimised_start
from flowsci.domains.molecules.fake import left_out, widen, with_fake
from flowsci.domains.molecules.fields import Cooled, Held, Recalling, Remembering, Told
from flowsci.domains.molecules.inpainting import frame_of, known_labels, settled, stand_still
from flowsci.domains.molecules.labels import labels_of
from flowsci.domains.molecules.network import MoleculeTransformer
from flowsci.domains.molecules.objective import masks_of, objective_of
from flowsci.domains.molecules.properties import Judge, PropertyModel, PropertyNet, net_of
from flowsci.domains.molecules.settings import (
    FlowSettings,
    MoleculesSampling,
    NetworkSettings,
    PropertySettings,
)
from flowsci.domains.molecules.states import LABELS, Vocabulary, categories, check_kind
from flowsci.domains.molecules.trunk import Context, Parts
from flowsci.errors import FlowsciError
from flowsci.flow import (
    GRIDS,
    Aligned,
    ClassifierFree,
    Euler,
    ExponentialRenoising,
    Field,
    Gaussian,
    Loss,
    Mixed,
    MixedField,
    OneCall,
    solve,
    solve_checkpointed,
)
from flowsci.flow.generators import Generators, normal, restore_states, save_states
from flowsci.flow.masks import zero_padding

ATOM_WISE = ("mask", "known", "given", "atomic_numbers", "charges", "positions")


class MoleculeFlow:
    """The network of a run with its objective and its sampler."""

    def __init__(
        self, network: NetworkSettings, flow: FlowSettings, statistics: Mapping[str, Any]
    ) -> None:
        self.settings, self.fake, self.fragments = flow, network.fake_atoms, network.fragments
        self.statistics, self.composed = statistics, network.composition
        statistics = with_fake(statistics) if self.fake else statistics
        self.vocabulary, self.labels = Vocabulary(statistics), labels_of(flow)
        self.counts, self.spatial = categories(statistics), network.mode == "3d"
        self.objective = objective_of(flow, self.labels, self.counts, self.spatial)
        self.noise = Gaussian(flow.scale_angstrom)
        self.network = MoleculeTransformer(network, statistics, flow.scale_angstrom)
        if network.judge is not None:
            width = len(statistics["properties"])
            self.network.judge = Judge(net_of(network, network.judge, statistics), width)
        if network.guide is not None:
            self.network.guide = net_of(network, network.guide, statistics)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the weighted sum of the squared errors of positions and the labels' cross-entropies.

        In half of the batches the network sees what it said before, without a gradient.
        """
        context, x1 = Context.of(batch), self._ends(batch)
        x0 = self._pair(x1, batch, generator)
        again = self.settings.self_conditioning and _coin(0.5, generator)

        def told(states: Parts, t: Tensor, condition: Context) -> dict[str, Tensor]:
            states = self._distorted(states, condition, generator)
            if again:
                with torch.no_grad():
                    condition = condition.after(network(states, t, condition))
            return network(states, t, condition)

        masks = {} if context.mask is None else masks_of(context.mask)
        flow = self.objective(told, x1, generator, condition=context, mask=masks, x0=x0)
        guide = getattr(network, "guide", None)
        return flow if guide is None else self._with_guide(guide, flow, batch)

    def _with_guide(self, guide: PropertyNet, flow: Loss, batch: Batch) -> Loss:
        """Add the loss of the net that D-Flow follows, which learns from the same molecules."""
        error = guide.errors(self._properties(guide, batch), batch["properties"]).mean(1)
        terms = {**flow.terms, "guide": error}
        value = flow.value + error.mean()
        return Loss(value, flow.per_sample + error, terms, times=flow.times)

    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: MoleculesSampling,
    ) -> dict[str, Tensor]:
        """Draw `settings.samples` molecules for each condition; tensors (conditions, samples, ...).

        atomic_numbers and charges (n), bonds (n, n), mask (n), and positions (n, 3) in Å, but for
        graphs. Molecules of one size are drawn together, so that none depends on its company.
        Raises `FlowsciError` where training never showed what the conditions tell.
        """
        if "known" in batch and not self.fragments:
            raise FlowsciError(
                "sampling.conditions: this model was not trained to be told of fragments or "
                "graphs. Set `network.fragments: true` and train, or name a run that has it in "
                "`trained_by`."
            )
        if "known" in batch and self.settings.types == "catflow" and settings.stochasticity:
            raise FlowsciError(
                "sampling.stochasticity: renews noise of one-hots, which would move those that are "
                "told. Set it to 0."
            )
        real = {name.removeprefix(REAL): part for name, part in batch.items() if REAL in name}
        asked = {name: part for name, part in batch.items() if REAL not in name}
        rows = {name: part.repeat_interleave(settings.samples, 0) for name, part in asked.items()}
        rows = widen(rows, self.fake, generators) if self.fake else rows
        counts, most = rows["mask"].sum(1), rows["mask"].shape[1]
        drawn: dict[str, Tensor] = {}
        for count in counts.unique().tolist():
            chosen = (counts == count).nonzero().flatten()
            part = {name: _cut(name, rows[name][chosen], count) for name in rows}
            seeds = [generators[row] for row in chosen.tolist()]
            for name, found in self._draw(network, part, seeds, settings).items():
                wide = drawn.setdefault(name, _zeros(name, found, len(counts), most))
                wide[chosen] = _widened(name, found, most)
        drawn = left_out(drawn, rows) if self.fake else drawn
        judge = getattr(network, "judge", None)
        if judge is not None:
            drawn["judged"] = self._properties(judge, drawn)
        found = {name: part.unflatten(0, (-1, settings.samples)) for name, part in drawn.items()}
        return {**found, "judged_real": self._properties(judge, real)} if judge and real else found

    def _properties(self, net: nn.Module, molecules: Batch) -> Tensor:
        """Give what a net says of molecules as a batch holds them, (batch, properties)."""
        states = self.vocabulary.labels(molecules)
        if self.spatial:
            states["positions"] = molecules["positions"]
        said: Tensor = net(states, Context.of({"mask": molecules["mask"]}))
        return said

    def check_data(self, statistics: Mapping[str, Any]) -> None:
        """Raise `FlowsciError` where a dataset's molecules aren't of the model's kind."""
        check_kind(statistics, self.statistics, self.composed)

    def calibrate(self, network: nn.Module, validation: Batches) -> None:
        """Fit nothing: the samples are taken as they come."""

    def learn_from(self, teacher: Model) -> None:
        """Take the judge of the samples' properties; the flow learns from data alone."""
        judge = getattr(self.network, "judge", None)
        if judge is None:
            raise FlowsciError("molecules: this flow has no use for a teacher; remove `teacher`.")
        judge.learn_from(teacher.network)

    def _draw(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: MoleculesSampling,
    ) -> dict[str, Tensor]:
        """Draw a molecule a row, all of one size."""
        start = self._start(batch, generators)
        if settings.d_flow is not None:
            start = self._optimised(start, network, batch, generators, settings)
        field = self._field(network, Context.of(batch), settings)
        x = solve(field, start, *self._way(batch, settings), generators=generators)
        labels = {name: self.labels.read(x[name]) for name in LABELS}
        drawn = {**self.vocabulary.batch(labels, batch["mask"]), "mask": batch["mask"]}
        return {**drawn, "positions": self._placed(x, batch)} if self.spatial else drawn

    def _way(self, batch: Batch, settings: MoleculesSampling) -> tuple[Tensor, Mixed]:
        """Give the times of a solve and the step of every part."""
        methods = dict.fromkeys(self.objective.components, self.labels.method(settings))
        if self.spatial:
            methods["positions"] = self._mover(batch, settings.renewal)
        return GRIDS[settings.grid](settings.steps), Mixed(methods)

    def _mover(self, batch: Batch, rate: float) -> OneCall:
        """Give the step of positions; noise that is renewed is laid onto them as in training."""
        if not rate:
            return Euler()
        given = batch.get("given")

        def laid(noise: Tensor, clean: Tensor) -> Tensor:
            noise = settled(noise, batch)
            noise = aligned(noise, clean, batch) if self.settings.align else noise
            return noise if given is None else torch.where(given.unsqueeze(-1), clean, noise)

        return ExponentialRenoising(rate, pair=laid, mask=batch["mask"])

    def _optimised(
        self,
        start: Parts,
        network: nn.Module,
        batch: Batch,
        generators: Generators,
        settings: MoleculesSampling,
    ) -> dict[str, Tensor]:
        """Move a start towards the properties that are asked for, as the network's guide sees."""
        guide = getattr(network, "guide", None)
        if guide is None or self.settings.types != "catflow" or "known" in batch:
            raise FlowsciError(
                "sampling.d_flow needs a run with a net of its properties (`network.guide`) and "
                "flow.types 'catflow', as labels that jump can't be differentiated, and no "
                "fragment."
            )
        way, context = self._way(batch, settings), Context.of(batch)
        before, whole = save_states(generators), Context.of({"mask": batch["mask"]})

        def solved(x: dict[str, Tensor]) -> dict[str, Tensor]:
            # the noise on the way is that of the sample's own solve, each time
            restore_states(generators, before)
            field = self._field(network, context, settings, Recalling)
            end: dict[str, Tensor] = solve_checkpointed(field, x, *way, generators=generators)
            return end

        def error(x: Parts) -> Tensor:
            found: Tensor = guide.error(guide(x, whole), batch["properties"])
            return found.norm(dim=1)

        best, _ = optimised_start(start, solved, error, settings.d_flow)
        restore_states(generators, before)
        return best

    def _placed(self, x: Parts, batch: Batch) -> Tensor:
        """Give positions in the frame of the given atoms, which are exactly where they were."""
        if "given" not in batch:
            return x["positions"]
        given = batch["given"].unsqueeze(-1)
        return torch.where(given, batch["positions"], x["positions"] + frame_of(batch))

    def _field(
        self,
        network: nn.Module,
        context: Context,
        settings: MoleculesSampling,
        memory: type[Told] = Remembering,
    ) -> Field:
        """Give the field of the conditions, guided away from that of none where it is asked for."""

        def field(context: Context) -> Field:
            kind = memory if self.settings.self_conditioning else Told
            return MixedField(kind(network, context), self.objective.components)

        told = field(context)
        if settings.guidance not in (None, 1):
            null = field(replace(context, properties=None, composition=None))
            told = ClassifierFree(told, settings.guidance, weak=null)
        cooled = Cooled(told, settings.temperature)
        return cooled if context.known is None else Held(cooled, known_labels(context.known))

    def _ends(self, batch: Batch) -> dict[str, Tensor]:
        """Give the data's end: positions from given atoms, where there are any, and labels."""
        labels = self.vocabulary.labels(batch)
        ends = {name: self.labels.state(labels[name], self.counts[name]) for name in LABELS}
        if not self.spatial:
            return ends
        # fake atoms move the centre, which the network's answer keeps
        positions = settled(batch["positions"], batch)
        if "given" in batch:
            positions = zero_padding(positions - frame_of(batch), batch["mask"])
        return {"positions": positions, **ends}

    def _pair(self, x1: Parts, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw the source of a training batch, aligned with the data where nothing is given."""
        x0 = self._source(batch, generator)
        if self.spatial and self.settings.align:
            x0["positions"] = aligned(x0["positions"], x1["positions"], batch)
        return stand_still(x0, x1, batch)

    def _start(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Draw the source of a solve, with what is told in its place."""
        x0 = self._source(batch, generators)
        if "known" not in batch:
            return x0
        told = {**batch, "mask": batch["known"], "given": batch["given"]}
        return stand_still(x0, self._ends(told), batch)

    def _source(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Draw the source of every part, zero in padding."""
        mask, x0 = batch["mask"], {}
        if self.spatial:
            like = torch.zeros(*mask.shape, 3, device=mask.device)
            noise = zero_padding(self.noise.sample(like, generators), mask)
            x0["positions"] = settled(noise, batch)
        real = masks_of(mask)
        for name, count in self.counts.items():
            like = self.labels.blank(real[name].shape, count, mask.device)
            drawn = self.labels.source(count).sample(like, generators)
            x0[name] = zero_padding(drawn, real[name])
        return x0

    def _distorted(self, states: Parts, context: Context, generator: torch.Generator) -> Parts:
        """Give states whose positions are a little off, as in a solve; given ones stay."""
        strength = self.settings.distortion
        if not strength or not self.spatial:
            return states
        x = states["positions"]
        noise = strength * normal(x.shape, generator, like=x)
        if context.given is not None:
            noise = noise * ~context.given.unsqueeze(-1)
        return {**states, "positions": zero_padding(x + noise, context.mask)}


def aligned(x0: Tensor, x1: Tensor, batch: Batch) -> Tensor:
    """Lay noise onto the data: known atoms keep their own, given ones their frame."""
    mask, classes = batch["mask"], None
    if "known" in batch:
        # a class of its own for each atom of a molecule whose atoms are told apart
        apart = torch.arange(1, mask.shape[1] + 1, device=mask.device) * mask
        classes = torch.where(batch["known"].any(1, keepdim=True), apart, torch.zeros_like(apart))
    # a turn that is found stands still where a solve is differentiated
    paired = Aligned()(x0.detach(), x1.detach(), classes, mask=mask).source(x0)
    if "given" not in batch:
        return paired
    return torch.where(batch["given"].any(1)[:, None, None], x0, paired)


def build_model(
    network: NetworkSettings, flow: FlowSettings | PropertySettings, statistics: Mapping[str, Any]
) -> Model:
    """Build the model of a run with untrained weights: a flow, or a net that judges.

    Raises `FlowsciError` where the network's mode is not the dataset's.
    """
    _check_mode(network, statistics)
    if isinstance(flow, PropertySettings):
        return PropertyModel(network, flow, statistics)
    return MoleculeFlow(network, flow, statistics)


def _check_mode(network: NetworkSettings, statistics: Mapping[str, Any]) -> None:
    data = "3d" if statistics.get("has_positions", network.mode == "3d") else "2d"
    if data != network.mode:
        raise FlowsciError(
            f"network.mode of the run is '{network.mode}', but `mode` of its dataset is '{data}'. "
            f"Set `network.mode: {data}` in the run file, or `data` to a dataset whose file says "
            f"`mode: {network.mode}`."
        )


def _coin(share: float, generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator, device=generator.device) < share)


def _cut(name: str, part: Tensor, count: int) -> Tensor:
    """Leave out the padding of molecules of `count` atoms."""
    if name == "bonds":
        return part[:, :count, :count]
    return part[:, :count] if name in ATOM_WISE else part


def _zeros(name: str, part: Tensor, rows: int, most: int) -> Tensor:
    shape = (rows, most, most) if name == "bonds" else (rows, most, *part.shape[2:])
    return part.new_zeros(shape)


def _widened(name: str, part: Tensor, most: int) -> Tensor:
    """Put padding behind the atoms of molecules."""
    missing = most - part.shape[1]
    sides = {"bonds": (0, missing, 0, missing), "positions": (0, 0, 0, missing)}
    return nn.functional.pad(part, sides.get(name, (0, missing)))
