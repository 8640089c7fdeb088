"""The row of metrics.jsonl: one type, from which its columns, its JSON and the check of a file derive."""

from dataclasses import asdict, dataclass, field
from typing import Any

REQUIRED = {"required": True}
"""A field's metadata: a row without it is refused. Rows of earlier versions may lack the other fields."""


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
        n: held-out sentences that KL was measured on.
        lr: learning rate of the step.
        saturated: whether the model counts as saturated.
        saturated_step: first step of the unbroken stretch of saturated rows that this one ends; None where it is none.
        since_saturation: step - saturated_step; None where the row is not saturated.
        adversary_strength: weight of the adversary's loss; 0 without an adversary.
        tokens_per_second: words read since the row before, in this session; None where it has trained nothing yet, as in
            a row that an earlier session was stopped before.
        seconds: of training since the row before, over all sessions, but for what a killed one lost. Measurements and the
            rows' checkpoints are left out; checkpoints between rows and the first step's preparations are not.
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
    saturated: bool
    saturated_step: int | None
    since_saturation: int | None
    adversary_strength: float
    tokens_per_second: float | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The row as metrics.jsonl holds it: name -> value, in the order of the fields."""
        return asdict(self)
