"""Follow SGD along the minimum, from a saturated run on, in the time of Theorem 4.3 of Liu et al. 2022.

With --out, SGD goes on from RUN at a constant step, as a run of its own; without it, RUN is such a second phase.
Prints a JSON line for each checkpoint: clock, KL and its predicted floor, Tr(H), and the accuracy on --task.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import InputError, at_least
from ..arguments import Arguments, Given, add_run, opened_run, settings_of

if TYPE_CHECKING:
    from ...runs.run import Run


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab drift`."""
    add_run(arguments)
    arguments.add_argument("--out", type=str | None, help="directory of the second phase; RUN is one unless given")
    arguments.add_argument("--task", type=str | None, help="a task of the language whose accuracy is measured")
    arguments.add_argument("--contexts", type=int, default=2000, help="sampled sentences on which Tr(H) is measured")
    arguments.add_argument("--sentences", type=int, default=20_000, help="held-out sentences on which KL is measured")
    arguments.add_settings("lab.measurements.drift", "DriftConfig")


def run(given: Given) -> None:
    """Trains where --out is given, then prints the rows.

    Raises:
        InputError: for settings of training without --out, and for a run to which the theorem does not apply.
    """
    from ...measurements.drift import check_drifts, check_task, drift_rows
    from ...messages import warn
    from ..output import print_row, say_next_of_rows
    from ..progress import progress_bar

    for name in ("contexts", "sentences"):
        at_least(name, getattr(given, name), 2)
    run = opened_run(given)
    check_task(run, given.task)
    if given.out is not None:
        run = _moved(given, run)
    elif given.settings or given.step is not None:
        first = next(iter(given.settings), "step")
        option = f"--{first.replace('_', '-')}"
        raise InputError(f"{option} without --out, expected a directory for the second phase; name one")
    check_drifts(run)
    unstable = None
    with progress_bar(len(run.checkpoints) + 1, "checkpoints") as bar:
        for row in drift_rows(run, given.task, given.contexts, given.sentences):
            print_row(row)
            unstable = unstable or (row if row["floor_of_step"] is None else None)
            bar.update(1)
    if unstable is not None:
        eta, largest = unstable["eta"], unstable["largest_eigenvalue"]
        warn(
            f"eta is {eta:g}, but the largest eigenvalue of H is {largest:.3g} at step {unstable['step']}: above 2 / "
            f"{largest:.3g} = {2 / largest:.3g} SGD does not stay at the minimum, and floor_of_step is null"
        )
    if row["saturated_start"] is False:
        below = f"{run.config.threshold:g} nats"
        warn(f"the start is not saturated: its KL is not below {below}, which the theorem assumes")
    elif row["saturated_start"] is None:
        warn("the run with which this phase began is missing or changed, so there is no row for step 0")
    say_next_of_rows(run)


def _moved(given: Given, start: "Run") -> "Run":
    """The second phase, trained to its end."""
    from ....system.signals import StopRequest
    from ....theory.drift.ode import check_step
    from ...measurements.drift import DriftConfig, largest_eigenvalue
    from ...runs.checkpoints import chosen_checkpoints
    from ...runs.run import check_run, create_run
    from ...runs.training import train_run
    from ...runs.trainings import origin_of
    from ..progress import TrainingProgress, progress_bar

    config = settings_of(DriftConfig, given)
    step = chosen_checkpoints(start, given.step)[-1][0]
    training = config.training(start.config.masking)
    wanted = Path(given.out), start.source, start.model, training, _length(start), origin_of(start, step)
    check_run(*wanted)
    check_step(config.eta, largest_eigenvalue(start, step))
    moved = create_run(*wanted)
    with StopRequest() as stop, progress_bar(training.steps, "steps") as bar:
        progress = TrainingProgress(bar, training.steps)
        train_run(moved, given.device, progress.on_row, progress.on_step, stop)
    return moved.on(given.device)


def _length(start: "Run") -> int | None:
    """The max_length that makes the run's language of its source; None if the source alone does."""
    from ....generators import load_language

    length = start.language.max_length
    return None if load_language(start.source).max_length == length else length
