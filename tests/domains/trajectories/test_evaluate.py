import numpy as np
import pandas as pd
import pytest

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.evaluate import match
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation
from flowsci.errors import FlowsciError

SETTINGS = TrajectoriesEvaluation(bootstrap=100, miss_radius_km=0.5)


@pytest.fixture(scope="module")
def table(tmp_path_factory, drawn, prepared):
    folder = tmp_path_factory.mktemp("samples")
    domain.export(drawn, prepared, folder)
    return domain.read_samples(folder)


@pytest.fixture(scope="module")
def evaluation(table, prepared):
    return domain.evaluate(table, prepared, SETTINGS)


def test_every_measure_stands_beside_both_baselines(evaluation):
    assert set(evaluation.metrics) == {
        "min_ade_3",
        "min_fde_3",
        "joint_min_ade_3",
        "joint_min_fde_3",
        "miss_rate",
        "energy_score",
    }
    for metric in evaluation.metrics.values():
        assert set(metric.baselines) == {"constant_velocity", "sampled_constant_velocity"}
        low, high = metric.interval
        assert low - 1e-9 <= metric.model <= high + 1e-9
        assert metric.reference is None


def test_counts_are_those_of_the_test_split(evaluation, prepared):
    assert evaluation.metrics["min_ade_3"].count == prepared.counts["windows"]["test"]
    assert evaluation.metrics["joint_min_ade_3"].count == prepared.counts["scenes"]["test"]


def test_baselines_of_one_future_do_not_depend_on_minimum_or_joint(evaluation):
    plain = {n: m.baselines["constant_velocity"] for n, m in evaluation.metrics.items()}
    assert plain["min_ade_3"] == pytest.approx(plain["joint_min_ade_3"])
    assert plain["min_ade_3"] == pytest.approx(plain["energy_score"])
    assert plain["min_fde_3"] > plain["min_ade_3"] > 0


def test_samples_that_hold_the_truth_are_perfect(table, prepared):
    cases = match(table, prepared)
    truth = np.broadcast_to(cases.future[:, None], cases.samples.shape).reshape(-1, 3)
    perfect = table.assign(east=truth[:, 0], north=truth[:, 1], up=truth[:, 2])
    metrics = domain.evaluate(perfect, prepared, SETTINGS).metrics
    assert all(abs(metric.model) < 1e-9 for metric in metrics.values())


def test_the_order_of_rows_in_the_file_does_not_matter(table, prepared, tmp_path, evaluation):
    table.sample(frac=1, random_state=0).to_parquet(tmp_path / "samples.parquet")
    again = domain.evaluate(domain.read_samples(tmp_path), prepared, SETTINGS)
    assert again.metrics == evaluation.metrics


def test_missing_rows_and_foreign_samples_are_errors(table, prepared):
    with pytest.raises(FlowsciError, match="not whole"):
        domain.evaluate(table.iloc[:-1], prepared, SETTINGS)
    with pytest.raises(FlowsciError, match="not in the dataset"):
        domain.evaluate(table.assign(agent=table["agent"] + 100), prepared, SETTINGS)
    with pytest.raises(FlowsciError, match="11 steps, the dataset predicts 12"):
        domain.evaluate(table[table["step"] < 12], prepared, SETTINGS)


def test_figures_are_drawn_with_a_caption_each(table, prepared, evaluation):
    from pathlib import Path

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figures = domain.figures(table, prepared, evaluation)
    captions = Path(__file__).parents[3] / "workflow/report/trajectories"
    assert set(figures) == {path.stem for path in captions.glob("*.rst")}
    assert all(figure.axes for figure in figures.values())
    futures = [line for line in figures["scenes"].axes[0].lines if line.get_alpha() == 0.35]
    agents = table[table["scene"] == table["scene"].min()]["agent"].nunique()
    assert len(futures) == 3 * agents
    pyplot.close("all")


def test_the_table_is_a_plain_one(table):
    assert isinstance(table, pd.DataFrame)
    assert table["scene"].is_monotonic_increasing
