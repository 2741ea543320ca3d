"""One call for many futures: a student that covers its teacher's (implicit maximum likelihood)."""

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Model
from flowsci.domains.trajectories.flow import CONDITION, SceneFlow
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.network import Context
from flowsci.domains.trajectories.settings import SceneSampling
from flowsci.errors import FlowsciError
from flowsci.flow import GRIDS, Heun, Loss, NetworkField, solve
from flowsci.flow.masks import masked_mean

LEARNS = ("state.", "time.", "decoder.", "decoder_biases.", "norm.", "out.")
"""What the student learns anew; everything else, its density included, is the teacher's."""


class SceneStudent(SceneFlow):
    """A flow map from t = 0 to t = 1: one step of a velocity that has learned to arrive.

    After IMLE (Li and Malik, 2018) as MoFlow uses it (Fu et al., 2025): each of the teacher's
    futures pulls the nearest of the student's, so that none is left out, and each of the student's
    is pulled to the nearest of the teacher's.
    """

    teacher: SceneFlow | None = None

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the distance between the teacher's futures and the student's, in mean paces."""
        settings, mask = self.settings, batch["mask"]
        condition = {name: batch[name] for name in CONDITION if name in batch}
        theirs = self._teach(condition, generator)
        noise = self._noise(mask, settings.futures, generator).to(theirs)
        time = noise.new_zeros(len(noise))
        moved, _ = network(noise, time, condition)
        ours = (noise + moved).unflatten(0, (len(mask), -1))
        unit = self.basis.unit(agent_frames(batch["observed"])) / self.basis.pace
        apart = _distances(self.basis.expand(theirs), self.basis.expand(ours))
        apart = (apart * unit[:, None, None]).movedim(-1, 1)
        alone = masked_mean(self._nearest(apart), mask)
        together = self._nearest(masked_mean(apart, mask))
        terms = {"agents": alone, "scenes": settings.scene_weight * together}
        errors = alone + terms["scenes"]
        return Loss(errors.mean(), errors, terms)

    def learn_from(self, teacher: Model) -> None:
        """Take over the teacher's weights; hold all but those of the decoder."""
        if type(teacher) is not SceneFlow or teacher.coefficients != self.coefficients:
            raise FlowsciError(
                "teacher: a student learns from a run with flow.kind 'flow' and the same number "
                "of flow.coefficients."
            )
        for name in ("offset_basis", "offset_scale"):
            if teacher.statistics[name] != self.statistics[name]:
                raise FlowsciError(
                    f"teacher: it was trained on another dataset (its {name} differs); name a run "
                    "of the same `data`."
                )
        state = self.network.state_dict()
        given = teacher.network.state_dict()
        fitting = {n: w for n, w in given.items() if n in state and state[n].shape == w.shape}
        for name in state:
            if name not in fitting and not name.startswith(LEARNS):
                raise FlowsciError(
                    f"teacher: its network differs in {name}; give the student the same `network` "
                    "as its teacher, but for decoder_layers."
                )
        self.network.load_state_dict({**state, **fitting})
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(LEARNS))
        self.teacher = teacher
        teacher.network.requires_grad_(False).eval()

    def calibrate(self, network: nn.Module, validation: object) -> None:
        """Fit nothing: the density is the teacher's."""

    def arrive(
        self, network: nn.Module, noise: Tensor, context: Context, settings: SceneSampling
    ) -> Tensor:
        """Take states (rows, agents, coefficients) from t = 0 to t = 1 in one call."""
        return noise + network.velocity(noise, noise.new_zeros(len(context.agents)), context)

    @torch.no_grad()
    def _teach(self, condition: Batch, generator: torch.Generator) -> Tensor:
        """Draw the teacher's futures (scenes, teacher_futures, agents, coefficients)."""
        if self.teacher is None:
            raise FlowsciError("a student can't be trained without its teacher")
        network = self.teacher.network.to(condition["mask"].device)
        context = network.encode(condition)
        noise = self._noise(context.mask, self.settings.teacher_futures, generator)
        field = NetworkField(network.velocity, self.teacher.path)
        grid = GRIDS["uniform"](self.settings.teacher_steps)
        x = solve(field, noise.to(context.agents), grid, Heun(), condition=context)
        return x.unflatten(0, (len(context.mask), -1))

    def _noise(self, mask: Tensor, futures: int, generator: torch.Generator) -> Tensor:
        shape = (len(mask) * futures, mask.shape[1], self.coefficients)
        return torch.randn(shape, generator=generator)

    def _nearest(self, apart: Tensor) -> Tensor:
        """Average the nearest of the last two dimensions (theirs, ours), both ways."""
        recall, precision = apart.amin(-1).mean(-1), apart.amin(-2).mean(-1)
        return recall + self.settings.precision_weight * precision


def _distances(theirs: Tensor, ours: Tensor) -> Tensor:
    """Give mean distances over steps (scenes, theirs, ours, agents) of (scenes, n, agents, ...)."""
    apart = theirs.unsqueeze(2) - ours.unsqueeze(1)
    return torch.linalg.vector_norm(apart, dim=-1).mean(-1)
