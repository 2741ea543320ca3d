import weakref

import pytest
import torch
from catalogue import METHODS, label
from laws import gaussian, normals
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from flowsci.errors import FlowsciError
from flowsci.flow import (
    EnergyGuidance,
    Linear,
    NetworkField,
    RungeKutta4,
    sample_generators,
    solve,
    solve_checkpointed,
)
from flowsci.flow.grids import uniform

DOUBLE = torch.float64


def network_field(width=16):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Linear(width, 2)
    ).to(DOUBLE)
    field = NetworkField(lambda x, t, _: network(torch.cat([x, t[:, None]], 1)), Linear())
    return network, field


def gradients(solver, field, network, **options):
    x = normals(5).requires_grad_()
    loss = (solver(field, x, uniform(7), **options) ** 3).sum()
    return loss, torch.autograd.grad(loss, [x, *network.parameters()])


@pytest.mark.parametrize("segment", [1, 3, 100])
@pytest.mark.parametrize("method", METHODS, ids=label)
def test_the_gradient_is_that_of_the_plain_solve(method, segment):
    network, field = network_field()
    plain, checkpointed = (sample_generators(0, range(5)) for _ in range(2))
    loss, wanted = gradients(solve, field, network, method=method, generators=plain)
    again, found = gradients(
        solve_checkpointed,
        field,
        network,
        method=method,
        generators=checkpointed,
        segment=segment,
    )
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(found, wanted)
    for one, other in zip(plain, checkpointed, strict=True):
        assert torch.equal(one.get_state(), other.get_state())


def test_guided_fields_which_differentiate_inside_are_checkpointed():
    network, field = network_field()
    guided = EnergyGuidance(field, lambda clean, t, _: (clean**2).sum(1))
    _, wanted = gradients(solve, guided, network)
    _, found = gradients(solve_checkpointed, guided, network, segment=2)
    torch.testing.assert_close(found, wanted)


def test_mapping_states_and_conditions_get_their_gradient():
    def field(x, t, condition=None):
        return {name: gaussian()(part * condition, t) for name, part in x.items()}

    condition = torch.tensor([1.1], dtype=DOUBLE, requires_grad=True)
    losses = []
    for solver in (solve, solve_checkpointed):
        x = {"a": normals(3), "b": normals(3, 1)}
        end = solver(field, x, uniform(4), RungeKutta4(), condition=condition)
        losses.append(torch.autograd.grad(end["a"].sum() + end["b"].prod(), condition)[0])
    torch.testing.assert_close(losses[0], losses[1])


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made under it held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, torch.Tensor):
                self._watch(tensor.untyped_storage())
        return result

    def _watch(self, storage) -> None:
        key = storage._cdata
        if key not in self.held:
            self.held[key] = storage.nbytes()
            weakref.finalize(storage, self.held.pop, key, None)
        self.most = max(self.most, sum(self.held.values()))


def most_bytes(solver, steps, **options):
    _, field = network_field(width=512)
    x = normals(64).requires_grad_()
    with LiveBytes() as meter:
        solver(field, x, uniform(steps), RungeKutta4(), **options).sum().backward()
    return meter.most


def test_memory_does_not_grow_with_the_steps():
    plain = [most_bytes(solve, steps) for steps in (4, 32)]
    held = [most_bytes(solve_checkpointed, steps, segment=2) for steps in (4, 32)]
    assert plain[1] > 6 * plain[0]
    state = 64 * 2 * 8
    # a state, with its time and its copies, is all that a further segment keeps
    assert held[1] - held[0] < 14 * 10 * state
    assert held[1] < 1.3 * held[0]
    assert held[1] < 0.15 * plain[1]


def test_without_gradients_it_is_a_plain_solve():
    _, field = network_field()
    with torch.no_grad():
        found = solve_checkpointed(field, normals(3), uniform(5), segment=2)
        torch.testing.assert_close(found, solve(field, normals(3), uniform(5)))


def test_bad_input_is_named():
    with pytest.raises(FlowsciError, match="at least one step"):
        solve_checkpointed(gaussian(), normals(2), uniform(3), segment=0)
    with pytest.raises(FlowsciError, match="must rise, or fall"):
        grid = torch.tensor([0.0, 0.5, 0.2, 1.0])
        solve_checkpointed(gaussian(), normals(2), grid)

    def broken(x, t, condition=None):
        value = x / 0 if float(t[0]) > 0.5 else x
        return NetworkField(lambda *_: value, Linear())(x, t)

    with pytest.raises(FlowsciError, match=r"steps 4 to 6: .* step 2 of 3, from t = 0\.66"):
        solve_checkpointed(broken, normals(2), uniform(6), segment=3)
