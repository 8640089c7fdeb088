"""The settings of a flatness measurement."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import at_least, check_types
from ...flatness import FlatnessMeasure, flatness_measures
from ...registry import settings_of
from ...settings import check_unused, chosen, with_settings_of

ALWAYS = ("method", "contexts", "seed", "enlarge_to")
"""Settings that name every row of flatness, whatever the measure."""


@with_settings_of(flatness_measures, "method")
@dataclass(frozen=True)
class FlatnessConfig:
    """The trace of the Hessian, or another measure of flatness.

    Args:
        method: the measure.
        contexts: sampled sentences, each with one hidden word.
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
        """Returns what names a row, as JSON: everything on which its value depends, and nothing else."""
        named = {"method": self.method, "contexts": self.contexts, "seed": self.seed}
        # Entries are dataclasses, which the type of a measure does not say.
        return json.dumps(named | asdict(self.measure) | more, sort_keys=True)  # type: ignore[call-overload]


def settings_used(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings on which a measure depends; all of them where the name is no known flatness measure."""
    if method not in flatness_measures:
        return dict(settings)
    names = {*ALWAYS, *(setting.name for setting in settings_of(flatness_measures[method]))}
    return {name: value for name, value in settings.items() if name in names}


def estimates_gauss_newton(method: str) -> bool:
    """Whether a measure estimates the Gauss-Newton trace, which is the Hessian's where the model equals the truth."""
    return method in flatness_measures and flatness_measures[method].gauss_newton
