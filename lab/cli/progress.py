"""The progress of a command: a bar on a terminal; elsewhere, for training, a line for each row of metrics."""

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
"""Step, time left and the last row; the bar takes what they leave of a line, of 80 columns 1 to 9."""

STUDY_BAR = "{n_fmt}/{total_fmt} cells |{bar}|{postfix}"
"""Cells; behind the bar the time left of the whole study, then what was done last."""

tqdm.monitor_interval = 0
"""No thread that watches the bars: a process that has one is not forked."""


@contextmanager
def progress_bar(total: int | None, unit: str, shown: bool = True) -> Iterator[Any]:
    """A progress bar on a terminal; none where stderr is piped, has no size to draw it in, or is to be quiet."""
    hidden = not shown or is_quiet() or not _has_room()
    with tqdm(total=total, unit=f" {unit}", disable=hidden, dynamic_ncols=True) as bar:
        if bar.disable:
            bar.n = 0
        yield bar


def _has_room() -> bool:
    """Whether stderr is a terminal; one of 0 rows or columns, as `script` and containers make them, shows no bar."""
    if not sys.stderr.isatty():
        return False
    try:
        return 0 not in os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return True


def parts_on(bar: Any) -> Callable[[float, int], None]:
    """A function that shows on a bar, in hundredths, how many of how many are done."""

    def show(done: float, of: int) -> None:
        bar.total, bar.n = of, round(done, 2)
        bar.refresh()

    return show


class TrainingProgress:
    """Follows a training run of so many steps on a bar that was made for it; prints lines where the bar is disabled.

    Times count from the first step of this session, whichever it is: one that goes on does not seem to be faster.

    Args:
        bar: made by `progress_bar`.
        steps: the step limit.
    """

    def __init__(self, bar: Any, steps: int) -> None:
        self.bar, self.steps = bar, steps
        self.first: tuple[int, float] | None = None
        bar.bar_format = BAR

    def on_step(self, step: int, loss: float) -> None:
        """A step is done."""
        if self.first is None:
            self.first = (step, time.perf_counter())
            self.bar.initial = self.bar.n = self.bar.last_print_n = step
            self.bar.unpause()
        self.bar.update(step - self.bar.n)

    def on_row(self, row: "MetricsRow") -> None:
        """A row of metrics is recorded."""
        rate = row.tokens_per_second
        if self.bar.disable:
            kl, floor = f"KL {row.kl:.5f} +- {row.kl_stderr:.5f} nats", f"floor {row.floor:.5f} nats"
            speed = "" if rate is None else f"{rate:,.0f} tokens/s, "
            say(f"step {row.step}: {kl}, {floor}, {speed}at most {self.left(row.step)} left")
        else:
            speed = "" if rate is None else f", {tqdm.format_sizeof(rate)} tok/s"
            self.bar.set_postfix_str(f"KL {row.kl:.4f}+-{row.kl_stderr:.4f}, floor {row.floor:.4f}{speed}")

    def left(self, step: int) -> str:
        """The time to the step limit, at the pace of this session until now."""
        if self.first is None or step == self.first[0]:
            return "?"
        begin, since = self.first
        return str(tqdm.format_interval((self.steps - step) * (time.perf_counter() - since) / (step - begin)))


class StudyProgress:
    """Follows a study, or one of its cells, on a bar; prints a line for each finished cell where the bar is disabled.

    Args:
        bar: made by `progress_bar`.
    """

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        bar.bar_format = STUDY_BAR

    def __call__(self, message: str, done: int, total: int, seconds_left: float | None = None) -> None:
        """Something is done, or there is news.

        Args:
            message: what.
            done: cells that are done.
            total: cells in all.
            seconds_left: to the end of the whole study; None where nobody knows yet.
        """
        left = "" if seconds_left is None else f"{tqdm.format_interval(seconds_left)} left"
        if self.bar.disable and message and done > self.bar.n:
            until = f", about {left}" if left and done < total else ""
            say(f"[{done}/{total}] {message}{until}")
        self.bar.total = total
        self.bar.set_postfix_str(", ".join(filter(None, (left, message))), refresh=False)
        self.bar.n = done
        self.bar.refresh()
