"""The one-step student: what it takes from its teacher, and that one call covers its futures."""

import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.settings import (
    NetworkSettings,
    StudentSettings,
    TrajectoriesRun,
)
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.settings_files import check_settings

STUDENT = StudentSettings(kind="student", coefficients=6, futures=8, teacher_futures=8)


def make(prepared, run_settings, **network):
    settings = NetworkSettings(**{**run_settings.network.model_dump(), **network})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return domain.model(settings, STUDENT, prepared.statistics)


def draw(model, prepared, run_settings):
    settings = run_settings.sampling.model_copy(update={"samples": 200})
    batch = domain.conditions(prepared, settings).batch([0])
    with torch.no_grad():
        drawn = model.sample(
            model.network.eval(), batch, sample_generators(0, range(200)), settings
        )
    return drawn, batch


def test_density_and_encoder_stay_the_teachers_while_the_decoder_learns(
    prepared, run_settings, model
):
    student = make(prepared, run_settings)
    student.learn_from(model)
    torch.nn.init.normal_(
        student.network.out.weight, std=1.0, generator=torch.Generator().manual_seed(0)
    )
    batch = domain.batches(prepared, run_settings, "train")[0]
    learning = [p for p in student.network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=3e-3)
    losses = []
    for step in range(60):
        loss = student.loss(student.network, batch, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
        losses.append(loss.value.item())
    assert loss.per_sample.shape == batch["id"].shape
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    ours, condition = draw(student, prepared, run_settings)
    theirs, _ = draw(model, prepared, run_settings)
    for name in ("style_weight", "mode_weight", "mean", "scale", "rest_scale"):
        assert torch.equal(ours[name], theirs[name])
    mask = condition["mask"][0]
    spread = [drawn["positions"][0][:, mask].std(0).mean() for drawn in (ours, theirs)]
    assert spread[0] == pytest.approx(spread[1], rel=0.5)


def test_a_scene_takes_one_call_of_the_network(prepared, run_settings, monkeypatch):
    student, calls = make(prepared, run_settings), []
    velocity = student.network.velocity
    monkeypatch.setattr(
        student.network, "velocity", lambda *given: calls.append(1) or velocity(*given)
    )
    draw(student, prepared, run_settings)
    assert len(calls) == 1


def test_fewer_decoder_layers_fit_but_another_width_does_not(prepared, run_settings, model):
    make(prepared, run_settings, decoder_layers=2).learn_from(model)
    with pytest.raises(FlowsciError, match="give the student the same `network`"):
        make(prepared, run_settings, width=8).learn_from(model)


def test_a_student_does_not_teach_and_does_not_train_alone(prepared, run_settings):
    student = make(prepared, run_settings)
    with pytest.raises(FlowsciError, match=r"flow\.kind 'flow'"):
        make(prepared, run_settings).learn_from(student)
    batch = domain.batches(prepared, run_settings, "train")[0]
    with pytest.raises(FlowsciError, match="without its teacher"):
        student.loss(student.network, batch, torch.Generator())


@pytest.mark.parametrize(
    "changes", [{"flow": {"kind": "student"}}, {"flow": {"kind": "flow"}, "teacher": "demo"}]
)
def test_students_name_a_teacher_and_nobody_else_does(run_settings, changes):
    content = {**run_settings.model_dump(mode="json"), **changes}
    with pytest.raises(FlowsciError, match="names its `teacher`"):
        check_settings(content, TrajectoriesRun, "run.yaml")
