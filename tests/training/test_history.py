"""Rows of the history: means between rows, the same after a restart, and a table."""

import csv
import json

from flowsci.training.history import History, write_history


def test_rows_hold_the_means_since_the_row_before():
    history = History()
    history.write(0, 0.1, validation_loss=4.0)
    history.add({"train_loss": 1.0}, 0.5)
    history.add({"train_loss": 3.0}, 0.4)
    history.write(2, 0.2)
    history.write(2, 0.3, validation_loss=3.0)
    row = {"step": 2, "seconds": 0.2, "learning_rate": 0.4}
    assert history.rows[1] == {**row, "train_loss": 2.0, "validation_loss": 3.0}
    assert history.rows[0]["validation_loss"] == 4.0


def test_it_goes_on_where_it_was():
    def steps(history, losses):
        for loss in losses:
            history.add({"train_loss": loss}, loss)

    whole, first = History(), History()
    steps(whole, [0.1, 0.2, 0.3])
    steps(first, [0.1, 0.2])
    second = History(**json.loads(json.dumps(first.values())))
    steps(second, [0.3])
    for history in (whole, second):
        history.write(3, 1.0)
    assert second.rows == whole.rows


def test_the_history_is_a_table(tmp_path):
    rows = [
        {"step": 0, "seconds": 0.1, "learning_rate": 0.5, "validation_loss": 2.0},
        {"step": 5, "seconds": 0.2, "learning_rate": 0.4, "train_loss": 1.0, "distance": 3.0},
    ]
    path = tmp_path / "history.csv"
    write_history(rows, path)
    with path.open() as stream:
        read = list(csv.DictReader(stream))
    assert read[0]["validation_loss"] == "2.0"
    assert read[0]["train_loss"] == ""
    assert read[1]["distance"] == "3.0"
    assert next(iter(read[0])) == "step"
    assert b"\r" not in path.read_bytes()
