"""How long a study still takes, from what its cells have taken so far."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from ..runs.run import Run
from .jobs import work_of

Kind = Callable[..., None]
"""What a cell does: cells of one kind are taken to last equally long."""


class TimeLeft:
    """Estimates the time to the end of a study.

    Training: the steps that are left, at the seconds a unit of work that the rows of metrics tell. Every other cell:
    the mean of those of its kind that have ended. A run that may stop early counts with all its steps.

    Args:
        workers: cells that are done side by side.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.seconds: defaultdict[Kind, float] = defaultdict(float)
        self.ended: Counter[Kind] = Counter()

    def count(self, kind: Kind, seconds: float) -> None:
        """A cell that is no training took so long."""
        self.seconds[kind] += seconds
        self.ended[kind] += 1

    def left(self, cells: Counter[Kind], in_training: Iterable[Run]) -> float | None:
        """The seconds left.

        Args:
            cells: kind -> how many cells of it are left, trainings aside.
            in_training: the runs whose training has not ended.

        Returns:
            The seconds; None while nothing is known about a part of what is left.
        """
        if any(count and not self.ended[kind] for kind, count in cells.items()):
            return None
        training = _of_training(list(in_training))
        if training is None:
            return None
        measuring = sum(count * self.seconds[kind] / self.ended[kind] for kind, count in cells.items() if count)
        return (training + measuring) / self.workers


def _of_training(runs: list[Run]) -> float | None:
    """The seconds that trainings still take, one after the other; None before the first row of metrics."""
    seconds = done = left = 0.0
    for run in runs:
        rows, work = run.metrics, work_of(run) / run.config.steps
        step = rows[-1]["step"] if rows else 0
        seconds += sum(row.get("seconds") or 0.0 for row in rows)
        done += step * work
        left += (run.config.steps - step) * work
    if not left:
        return 0.0
    return left * seconds / done if done and seconds else None
