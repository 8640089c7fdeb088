"""Writes averages of a run's weights as a new run, which is not trained but is measured like any other.

Averaging moves along a flat valley to its middle (Izmailov et al. 2018, 1803.05407). The result is another model, so
its KL, accuracy and flatness are measured anew.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import InputError
from ...models import LanguageModel, load_model
from ...system.new_folder import new_folder
from ...system.sums import write_sums
from ...train import HeldOut, MetricsRow, TrainConfig
from ...train.checkpoint import AVERAGE
from .checkpoints import chosen_checkpoints
from .config_file import AVERAGED
from .made import write_begin, write_checkpoint
from .run import METRICS, Run


@dataclass(frozen=True)
class Averaging:
    """Which average of weights replaces those of a checkpoint.

    Args:
        ema: the exponential moving average that training kept.
        last: the mean of this many kept checkpoints, the checkpoint itself and those before it.

    Raises:
        InputError: if neither or both are given, and for a mean of fewer than 2.
    """

    ema: bool = False
    last: int | None = None

    def __post_init__(self) -> None:
        if self.ema == (self.last is not None):
            given = "both ema and last" if self.ema else "neither ema nor last"
            raise InputError(f"{given} given, expected one of the two; give the average that is meant")
        if self.last is not None and self.last < 2:
            raise InputError(f"last is {self.last}, expected at least 2 checkpoints to average; give more")

    def steps(self, kept: list[int]) -> list[int]:
        """The steps at which a run with these kept checkpoints has the average."""
        return kept if self.last is None else kept[self.last - 1 :]

    def described(self, config: TrainConfig) -> dict[str, Any]:
        """The entry of config.yaml that describes it. An exponential average is given by its decay."""
        return {"ema": config.average} if self.last is None else {"last": self.last}


def average(run: Run, how: Averaging, out: Path) -> list[MetricsRow]:
    """Writes the averages of a run's weights as a run, one checkpoint for each step that has an average.

    The directory appears only when it is complete. Its config.yaml names the origin under "averaged". The run can be
    measured and drawn, but not trained.

    Args:
        run: the run whose weights are averaged, with its language on the device where KL is measured.
        how: which average.
        out: the directory to write.

    Returns:
        The rows of its metrics.jsonl. KL is measured on the held-out sentences of the run.

    Raises:
        InputError: before anything is written, if `out` is not empty or the run has no such average.
    """
    chosen = chosen_checkpoints(run, None)
    check_averages(run, how, [step for step, _ in chosen])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: holds something already, expected a new or empty directory; choose another")
    rows = []
    with new_folder(out.resolve()) as partial:
        source = {"run": os.path.relpath(run.folder.resolve(), out.resolve())} | how.described(run.config)
        write_begin(run, partial, {AVERAGED: source})
        for row, model in _measured(run, _averages(chosen, how)):
            write_sums(write_checkpoint(model, partial, row.step))
            rows.append(row)
        (partial / METRICS).write_text("".join(json.dumps(row.as_json()) + "\n" for row in rows))
    return rows


def check_averages(run: Run, how: Averaging, kept: list[int]) -> None:
    """Checks that a run has an average.

    Args:
        run: the run.
        how: which average.
        kept: the steps of its checkpoints.

    Raises:
        InputError: if it has none.
    """
    if how.ema and run.config.average is None:
        raise InputError(
            f"{run.folder}: no average was kept in training, expected one; train with average, or give last"
        )
    if not how.steps(kept):
        raise InputError(
            f"{run.folder}: last is {how.last}, expected at most {len(kept)}, the number of kept checkpoints; give "
            "fewer, or train with more checkpoints"
        )


def _averages(chosen: list[tuple[int, Path]], how: Averaging) -> Iterator[tuple[int, LanguageModel]]:
    """(step, model with the averaged weights) of each step that has them."""
    if how.last is None:
        for step, folder in chosen:
            yield step, load_model(folder, AVERAGE)
        return
    for end in range(how.last, len(chosen) + 1):
        yield chosen[end - 1][0], mean_model([folder for _, folder in chosen[end - how.last : end]])


def mean_model(folders: list[Path]) -> LanguageModel:
    """The model whose weights are the means of those of several checkpoints, summed in float64."""
    sums: dict[str, Tensor] = {}
    for folder in folders:
        model = load_model(folder)
        for name, value in model.state_dict().items():
            sums[name] = value.double() + sums.get(name, 0.0)
    model.load_state_dict({name: value / len(folders) for name, value in sums.items()})
    return model


def _measured(run: Run, averages: Iterator[tuple[int, LanguageModel]]) -> Iterator[tuple[MetricsRow, LanguageModel]]:
    """Each model with its row of metrics."""
    config = replace(run.phase_config, masking=run.config.masking or "one")
    held_out, device = HeldOut(run.language, config), run.language.device
    since = None
    for step, model in averages:
        found = held_out.measure(model.to(device))
        saturated = held_out.rule.holds(found.decides)
        since = (since or step) if saturated else None
        row = MetricsRow(
            step=step,
            loss=found.floor.value + found.kl.value,
            kl=found.kl.value,
            kl_stderr=found.kl.stderr,
            kl_upper95=found.kl.upper95,
            floor=found.floor.value,
            floor_stderr=found.floor.stderr,
            n=found.kl.n,
            lr=0.0,
            train_kl=None,
            train_kl_stderr=None,
            saturated=saturated,
            saturated_step=since,
            since_saturation=None if since is None else step - since,
            adversary_strength=0.0,
            tokens_per_second=None,
            seconds=0.0,
            excess=None if found.excess is None else found.excess.value,
            excess_stderr=None if found.excess is None else found.excess.stderr,
        )
        yield row, model.cpu()
