"""What each flatness method measures on a model, as the values of rows."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...estimate import Estimate
from ...flatness import METHODS, TraceEstimate, hessian_trace, sharpness, top_eigenvalues, trace_under_rescaling
from ...flatness.operator import Kind
from ...generators import Language, Sentences
from ...models import MaskedLM
from ..config import FlatnessConfig

Values = tuple[Estimate, dict[str, Any]]
"""An estimate and what its row says beside it, `block` and `unit` among that."""

CURVATURE = "nats per squared parameter"

GAUSS_NEWTON = ("sampled-gradient", "random-factor", "gauss-newton", "gauss-newton-hutchinson")
"""Estimators of the Gauss-Newton trace, the Hessian's where the model equals the truth."""

ALWAYS = ("method", "contexts", "seed", "enlarge_to")
USED: dict[str, tuple[str, ...]] = {
    "sampled-gradient": ("draws",),
    "random-factor": ("draws",),
    "gauss-newton": (),
    "gauss-newton-hutchinson": ("probes",),
    "hutchinson": ("probes", "targets"),
    "hutch++": ("probes", "targets"),
    "residual": ("probes",),
    "by-parts": ("draws", "probes"),
    "lanczos": ("eigenvalues", "iterations", "targets"),
    "lanczos-gauss-newton": ("eigenvalues", "iterations"),
    "sharpness": ("probes", "radii", "targets"),
    "invariance": ("draws", "scales"),
}
"""Settings that each method's value depends on, beside ALWAYS."""


class Measurement:
    """One model, its language, sentences and masking, and the settings."""

    def __init__(
        self, model: MaskedLM, language: Language, sentences: Sentences, masking: str, config: FlatnessConfig
    ) -> None:
        self.model, self.sentences, self.config = model, sentences, config
        self.shared: dict[str, Any] = {
            "masking": masking,
            "seed": config.seed,
            "targets": config.targets,
            "language": language,
        }

    def trace(self) -> Iterator[Values]:
        """The total and the blocks."""
        config = self.config
        trace = hessian_trace(
            self.model, self.sentences, config.method, config.draws, probes=config.probes, **self.shared
        )
        yield from _in_blocks(trace, "", {})

    def eigenvalues(self) -> Iterator[Values]:
        """The largest eigenvalues, each with the share of every block: block 1, 1/embedding, ..."""
        config = self.config
        matrix: Kind = "gauss-newton" if config.method == "lanczos-gauss-newton" else "hessian"
        found = top_eigenvalues(
            self.model, self.sentences, config.eigenvalues, matrix, iterations=config.iterations, **self.shared
        )
        for rank, value in enumerate(found, 1):
            yield from _in_blocks(value, str(rank), {"rank": rank, "bound": value.bound})

    def sharpness(self) -> Iterator[Values]:
        """The rise of the loss at each radius: block random 0.05, sam 0.05, ..."""
        config = self.config
        for rise in sharpness(
            self.model, self.sentences, tuple(config.radii), probes=config.probes, **self.shared
        ):  # fmt: skip
            block = f"{rise.direction} {rise.radius:g}"
            yield rise, {"block": block, "direction": rise.direction, "radius": rise.radius, "unit": "nats"}

    def rescaled(self) -> Iterator[Values]:
        """Tr(H) of the same function with other weights: block 0.5, 0.5/embedding, ..."""
        config = self.config
        for found in trace_under_rescaling(
            self.model, self.sentences, tuple(config.scales), draws=config.draws, **self.shared
        ):
            more = {"alpha": found.alpha, "logit_change": found.logit_change}
            yield from _in_blocks(found, f"{found.alpha:g}", more)


def settings_used(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a method's value depends on; all of them for what is no flatness method."""
    if method not in USED:
        return dict(settings)
    return {name: value for name, value in settings.items() if name in ALWAYS or name in USED[method]}


def _in_blocks(trace: TraceEstimate, prefix: str, more: dict[str, Any]) -> Iterator[Values]:
    yield trace, {"block": prefix or "total", "unit": CURVATURE} | more
    for block, value in sorted(trace.blocks.items()):
        yield value, {"block": f"{prefix}/{block}" if prefix else block, "unit": CURVATURE} | more


BESIDES: dict[str, tuple[str, Callable[[Measurement], Iterator[Values]]]] = {
    "lanczos": ("eigenvalue", Measurement.eigenvalues),
    "lanczos-gauss-newton": ("eigenvalue", Measurement.eigenvalues),
    "sharpness": ("sharpness", Measurement.sharpness),
    "invariance": ("rescaled_trace", Measurement.rescaled),
}
"""Methods that measure something other than one trace: what it is called, and how it is taken."""

FLATNESS: dict[str, tuple[str, Callable[[Measurement], Iterator[Values]]]] = {
    **{name: (method.what, Measurement.trace) for name, method in METHODS.items()},
    **BESIDES,
}
"""Every flatness method."""
