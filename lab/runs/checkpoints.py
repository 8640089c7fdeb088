"""Selects the checkpoints of a run to measure."""

from pathlib import Path

from ...errors import InputError
from .run import Run


def chosen_checkpoints(run: Run, step: int | None) -> list[tuple[int, Path]]:
    """All checkpoints of a run, or the one of a step.

    Args:
        run: the run.
        step: the step of the checkpoint; None for all.

    Returns:
        (step, directory) of each.

    Raises:
        InputError: if there is none.
    """
    found = run.checkpoints
    if not found:
        raise InputError(f"{run.folder}: no checkpoint yet, expected a trained run; run satlab train first")
    if step is None:
        return found
    steps = [s for s, _ in found]
    if step not in steps:
        raise InputError(f"{run.folder}: no checkpoint of step {step}, expected one of {steps}")
    return [found[steps.index(step)]]
