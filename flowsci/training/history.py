"""`history.csv`: how a training went."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST = ("step", "seconds", "learning_rate", "train_loss", "gradient_norm", "validation_loss")


class Means:
    """Running means of named values between two rows of the history."""

    def __init__(self, sums: Mapping[str, float] | None = None, count: int = 0) -> None:
        self.sums = dict(sums or {})
        self.count = count

    def add(self, values: Mapping[str, float]) -> None:
        """Count one more of each value."""
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Give the means and begin anew."""
        means = {name: value / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def write_history(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write rows as CSV: the usual columns first, a loss's terms behind; missing values empty."""
    others = dict.fromkeys(name for row in rows for name in row if name not in FIRST)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*FIRST, *others])
        writer.writeheader()
        writer.writerows(rows)
