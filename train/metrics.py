"""A row of metrics.jsonl: one dataclass defines its columns and its JSON, and how a file is checked."""

from dataclasses import asdict, dataclass, field
from typing import Any

REQUIRED = {"required": True}
"""The metadata of a field that every row must have. Rows of earlier versions may lack the other fields."""


@dataclass(frozen=True)
class MetricsRow:
    """Metrics after a step; losses, KL and entropies in nats.

    Args:
        step: steps taken.
        loss: mean loss over the steps since the row before.
        kl: KL(truth || model) on held-out sentences.
        kl_stderr: its standard error.
        kl_upper95: upper end of its one-sided 95 % interval.
        floor: entropy of the truth over the same sentences.
        floor_stderr: its standard error.
        n: held-out sentences on which KL was measured.
        lr: learning rate of the step.
        train_kl: KL(truth || model) on the training batches, a running mean over the last steps; None without exact
            targets.
        train_kl_stderr: its standard error.
        saturated: whether the model counts as saturated.
        saturated_step: first step of the unbroken stretch of saturated rows up to this one; None if it is not
            saturated.
        since_saturation: step - saturated_step; None if the row is not saturated.
        adversary_strength: weight of the adversary's loss; 0 without an adversary.
        tokens_per_second: words read per second since the row before, in this session; None if this session has not
            trained yet, because an earlier one stopped between the step and its row.
        seconds: training time since the row before, over all sessions, excluding work that a killed session lost. It
            excludes measurements and checkpoints at rows, and includes checkpoints between rows and the preparation of
            the first step.
        excess: of the objective over the least that the model's head allows, on the same sentences; None, and no
            column, where that is KL.
        excess_stderr: its standard error.
    """

    step: int = field(metadata=REQUIRED)
    loss: float
    kl: float = field(metadata=REQUIRED)
    kl_stderr: float = field(metadata=REQUIRED)
    kl_upper95: float
    floor: float
    floor_stderr: float
    n: int
    lr: float
    train_kl: float | None
    train_kl_stderr: float | None
    saturated: bool
    saturated_step: int | None
    since_saturation: int | None
    adversary_strength: float
    tokens_per_second: float | None
    seconds: float
    excess: float | None = None
    excess_stderr: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the row as metrics.jsonl holds it: name -> value, in the order of the fields."""
        row = asdict(self)
        return row if self.excess is not None else {name: row[name] for name in row if not name.startswith("excess")}
