"""The progress of a command: a bar on a terminal; elsewhere a line for each row of metrics or finished cell."""

import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..messages import is_quiet, say

if TYPE_CHECKING:
    from ...train.metrics import MetricsRow

BAR = "{n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}"
"""Step, time left and the last row. The bar takes the rest of the line, 1 to 9 of 80 columns."""

STUDY_BAR = "{n_fmt}/{total_fmt} cells |{bar}|{postfix}"
"""Cells; after the bar, the time left for the whole study and the last message."""

APART = 10.0
"""The least time between two lines on the short cells of an experiment, seconds."""

tqdm.monitor_interval = 0
"""Disables tqdm's monitor thread, because a process with threads cannot be forked safely."""


@contextmanager
def progress_bar(total: int | None, unit: str, shown: bool = True) -> Iterator[Any]:
    """A progress bar on a terminal. It is hidden if stderr is piped or has no size, and with --quiet."""
    hidden = not shown or is_quiet() or not _has_room()
    with tqdm(total=total, unit=f" {unit}", disable=hidden, dynamic_ncols=True) as bar:
        if bar.disable:
            bar.n = 0
        yield bar


def _has_room() -> bool:
    """Whether stderr is a terminal that can show a bar: `script` and containers make some with 0 rows or columns."""
    if not sys.stderr.isatty():
        return False
    try:
        return 0 not in os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return True


def parts_on(bar: Any) -> Callable[[float, int], None]:
    """A function show(done, total) that sets a bar, with `done` rounded to hundredths."""

    def show(done: float, of: int) -> None:
        bar.total, bar.n = of, round(done, 2)
        bar.refresh()

    return show


class TrainingProgress:
    """Shows the progress of a training run on a bar, or prints lines if the bar is disabled.

    Times count from the first step of this session, so that a resumed run does not seem faster than it is.

    Args:
        bar: a bar made by `progress_bar`.
        steps: the step limit.
    """

    def __init__(self, bar: Any, steps: int) -> None:
        self.bar, self.steps = bar, steps
        self.first: tuple[int, float] | None = None
        bar.bar_format = BAR

    def on_step(self, step: int, loss: float) -> None:
        """Called after a step."""
        if self.first is None:
            self.first = (step, time.perf_counter())
            self.bar.initial = self.bar.n = self.bar.last_print_n = step
            self.bar.unpause()
        self.bar.update(step - self.bar.n)

    def on_row(self, row: "MetricsRow") -> None:
        """Called after a row of metrics is recorded."""
        rate = row.tokens_per_second
        if self.bar.disable:
            kl, floor = f"KL {row.kl:.5f} +- {row.kl_stderr:.5f} nats", f"floor {row.floor:.5f} nats"
            speed = "" if rate is None else f"{rate:,.0f} tokens/s, "
            say(f"step {row.step}: {kl}, {floor}, {speed}at most {self.left(row.step)} left")
        else:
            speed = "" if rate is None else f", {tqdm.format_sizeof(rate)} tok/s"
            self.bar.set_postfix_str(f"KL {row.kl:.4f}+-{row.kl_stderr:.4f}, floor {row.floor:.4f}{speed}")

    def left(self, step: int) -> str:
        """The time to the step limit, at the pace of this session so far."""
        if self.first is None or step == self.first[0]:
            return "?"
        begin, since = self.first
        return str(tqdm.format_interval((self.steps - step) * (time.perf_counter() - since) / (step - begin)))


class StudyProgress:
    """Shows the progress of a study or a cell on a bar. If that is disabled, prints lines.

    The first line says how many cells there are; then follow a line for each finished cell and, at most once a minute,
    the news of the runs in training.

    Args:
        bar: a bar made by `progress_bar`.
    """

    EVERY = 60.0

    def __init__(self, bar: Any) -> None:
        self.bar, self._said = bar, -math.inf
        bar.bar_format = STUDY_BAR

    def __call__(self, message: str, done: int, total: int, seconds_left: float | None = None) -> None:
        """Shows progress.

        Args:
            message: what was done, or other news.
            done: number of finished cells.
            total: number of all cells.
            seconds_left: time to the end of the whole study; None if it is not known yet.
        """
        left = "" if seconds_left is None else f"{tqdm.format_interval(seconds_left)} left"
        if self.bar.disable:
            self._lines(message, done, total, f", about {left}" if left and done < total else "")
        self.bar.total = total
        self.bar.set_postfix_str(", ".join(filter(None, (left, message))), refresh=False)
        self.bar.n = done
        self.bar.refresh()

    def _lines(self, message: str, done: int, total: int, until: str) -> None:
        now = time.monotonic()
        if self.bar.total is None and done == 0:
            say(f"{total} cells; a line for each that ends")
        if not message or (done <= self.bar.n and now < self._said + self.EVERY):
            return
        self._said = now
        say(f"[{done}/{total}] {message}{until}")


def cells_on(bar: Any, total: int) -> Callable[[str], None]:
    """A function that shows on a bar that the cell of a name has ended; if that is disabled, in lines 10 s apart.

    Args:
        bar: a bar made by `progress_bar`.
        total: number of all cells.

    Returns:
        A function of the name of the cell.
    """
    progress, done, said = StudyProgress(bar), itertools.count(1), [time.monotonic()]

    def ended(name: str) -> None:
        number, now = next(done), time.monotonic()
        if not bar.disable:
            progress(name, number, total)
        elif now >= said[0] + APART:
            said[0] = now
            say(f"[{number}/{total}] {name}")

    return ended
