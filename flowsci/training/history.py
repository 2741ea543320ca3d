"""`history.csv`: how a training went."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FIRST = ("step", "seconds", "learning_rate", "train_loss", "gradient_norm", "validation_loss")


class History:
    """Rows of a training; what happens between two rows is averaged.

    `values` gives all of it as plain values, from which `History(**values)` goes on.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, float]] = (),
        sums: Mapping[str, float] | None = None,
        count: int = 0,
        learning_rate: float = 0.0,
    ) -> None:
        self.rows = [dict(row) for row in rows]
        self.sums = dict(sums or {})
        self.count = count
        self.learning_rate = learning_rate

    def add(self, values: Mapping[str, float], learning_rate: float) -> None:
        """Count the values of one step."""
        self.learning_rate = learning_rate
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def write(self, step: int, seconds: float, **values: float) -> None:
        """Close the row of a step (with its last learning rate), or add values to it."""
        if not self.rows or self.rows[-1]["step"] != step:
            row = {"step": step, "seconds": round(seconds, 2), "learning_rate": self.learning_rate}
            means = {name: total / self.count for name, total in self.sums.items()}
            self.rows.append({**row, **means})
            self.sums, self.count = {}, 0
        self.rows[-1].update(values)

    def values(self) -> dict[str, Any]:
        """Give everything that the history needs to go on."""
        return dict(vars(self))


def write_history(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write rows as CSV: the usual columns first, a loss's terms behind; missing values empty."""
    others = dict.fromkeys(name for row in rows for name in row if name not in FIRST)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*FIRST, *others], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
