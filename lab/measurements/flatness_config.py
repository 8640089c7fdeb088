"""The settings of a flatness measurement."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import at_least, check_types
from ...flatness import FlatnessMeasure, flatness_measures
from ...settings import check_unused, chosen, with_settings_of


@with_settings_of(flatness_measures, "method")
@dataclass(frozen=True)
class FlatnessConfig:
    """The trace of the Hessian, or another measure of flatness.

    Args:
        method: the measure.
        contexts: sampled sentences, with words hidden as in training.
        seed: seed of the contexts and of all draws.
    """

    method: str = "sampled-gradient"
    contexts: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        at_least("contexts", self.contexts, 2)
        at_least("seed", self.seed, 0)
        self.measure.check(self.contexts)
        check_unused(self)

    @property
    def measure(self) -> FlatnessMeasure:
        """The measure with its settings."""
        made: FlatnessMeasure = chosen(self)
        return made

    def settings(self, **more: Any) -> str:
        """The settings that identify a row, as JSON: all on which its value depends, and no others."""
        named = {"method": self.method, "contexts": self.contexts, "seed": self.seed}
        # All registered measures are dataclasses, which their type does not express.
        return json.dumps(named | asdict(self.measure) | more, sort_keys=True)  # type: ignore[call-overload]
