"""Write averages of a run's weights as a run of their own, whose KL is measured on the run's held-out sentences.

--ema takes the exponential moving average that training kept (satlab train --average); --last K, at each kept
checkpoint, the mean of it and the K - 1 before.
"""

from pathlib import Path

from ..arguments import Arguments, Given


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab average`."""
    arguments.add_argument("run", help="directory made by satlab train")
    out = "new or empty directory for the averages, as a run that can be measured"
    arguments.add_argument("--out", required=True, help=out)
    arguments.add_argument("--last", type=int | None, help="number of kept checkpoints whose mean is taken")
    arguments.add_flag("--ema", help="the exponential moving averages that training kept")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")


def run(given: Given) -> None:
    """Writes the run, and prints its rows of metrics."""
    from ...messages import command_line, say_next
    from ...runs.average import Averaging, average
    from ..arguments import opened_run
    from ..output import print_row

    how = Averaging(given.ema, given.last)
    for row in average(opened_run(given), how, Path(given.out)):
        print_row({"run": given.out} | row.as_json())
    say_next(given.out, command_line("evaluate", given.out), command_line("flatness", given.out))
