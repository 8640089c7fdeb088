"""How far a study is: cells that have ended, those still to come, and the time that they take."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import DivergedError, InputError
from ..runs.run import Run
from .averages import average_cell, planned, planned_after
from .config import StudyConfig
from .jobs import Cell, train_cell
from .time_left import TimeLeft

Report = Callable[[str, int, int, float | None], None]
"""What is told (a message, cells done, cells in all, seconds left to the end of the study; None where nobody knows)."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A cell that has ended.

    Args:
        cell: which.
        then: the cells that it gave rise to: a trained run's measurements, and the runs that begin with its end.
        seconds: how long it took.
        error: why it failed; None where it did not.
    """

    cell: Cell
    then: list[Cell]
    seconds: float = 0.0
    error: InputError | DivergedError | None = None

    @property
    def title(self) -> str:
        """The cell, and its error where it failed."""
        return self.cell[0] if self.error is None else f"{self.cell[0]}: {self.error}"


class Progress:
    """Follows a study and reports how far it is.

    How many checkpoints a run will have is known once it has ended; until then, those it is to keep count.

    Args:
        study: its settings.
        runs: its runs.
        todo: the cells to begin with: baselines, and trainings with weights of their own.
        report: what is told.
    """

    def __init__(self, study: StudyConfig, runs: list[Run], todo: list[Cell], report: Report) -> None:
        self.study, self.report, self.time = study, report, TimeLeft(study.num_workers)
        self.in_training = {run.folder: run for run in runs}
        self.planned = {run.folder: planned(study, run) for run in runs}
        self.begun = Counter(cell[1] for cell in todo if cell[1] is not train_cell)
        later = len(runs) - sum(cell[1] is train_cell for cell in todo)
        self.done, self.total = 0, len(todo) + later + sum(planned.total() for planned in self.planned.values())

    def ended(self, ended: Ended) -> None:
        """A cell has ended."""
        _, function, arguments = ended.cell
        self.done += 1
        if function is train_cell:
            del self.in_training[arguments[0]]
        else:
            self.begun[function] -= 1
            self.time.count(function, ended.seconds)
        before = sum(cells.total() for cells in self.planned.values())
        self.planned.pop(arguments[0], None)
        # Trainings that begin with the end of this one are counted from the start.
        measured = [cell for cell in ended.then if cell[1] is not train_cell]
        self.planned |= {cell[2][0]: planned_after(self.study, cell) for cell in ended.then if cell[1] is average_cell}
        self.begun.update(cell[1] for cell in measured)
        self.total += len(measured) + sum(cells.total() for cells in self.planned.values()) - before
        logger.debug("%s took %.1f s", ended.cell[0], ended.seconds)
        self._tell(ended.title if ended.error is None else f"failed: {ended.title}")

    def news(self) -> None:
        """Tells the newest KL of each run that is still training."""
        rows = [(run, run.metrics[-1]) for run in self.in_training.values() if run.metrics]
        news = [
            f"{run.folder.name} step {row['step']:,}: KL {row['kl']:.4f}"
            for run, row in rows
            if row["step"] < run.config.steps
        ]
        self._tell(", ".join(news))

    def _tell(self, message: str) -> None:
        cells = sum(self.planned.values(), +self.begun)
        self.report(message, self.done, self.total, self.time.left(cells, self.in_training.values()))
