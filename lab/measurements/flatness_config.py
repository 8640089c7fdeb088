"""What a measurement of flatness is told."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import at_least
from ...flatness import FlatnessMeasure, flatness_measures
from ...registry import settings_of
from ...settings import check_unused, chosen, with_settings_of

ALWAYS = ("method", "contexts", "seed", "enlarge_to")
"""Settings that name every row of flatness."""


@with_settings_of(flatness_measures, "method")
@dataclass(frozen=True)
class FlatnessConfig:
    """The trace of the Hessian, or another measure of flatness.

    Args:
        method: the measure.
        contexts: sampled sentences with one hidden word.
        seed: what the contexts and draws derive from.
    """

    method: str = "sampled-gradient"
    contexts: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
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
        """What names a row: all that its value depends on, and nothing else, as JSON."""
        named = {"method": self.method, "contexts": self.contexts, "seed": self.seed}
        return json.dumps(named | asdict(self.measure) | more, sort_keys=True)  # type: ignore[call-overload]


def settings_used(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a method's value depends on; all of them for what is no flatness method, or none that is known."""
    if method not in flatness_measures:
        return dict(settings)
    names = {*ALWAYS, *(setting.name for setting in settings_of(flatness_measures[method]))}
    return {name: value for name, value in settings.items() if name in names}


def estimates_gauss_newton(method: str) -> bool:
    """Whether a method is an estimator of the Gauss-Newton trace, the Hessian's where the model equals the truth."""
    return method in flatness_measures and flatness_measures[method].gauss_newton
