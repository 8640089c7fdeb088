"""The rise of the loss L at distance rho from the weights: L(theta + rho u) - L(theta), in nats.

    random   u is uniform on the unit sphere, drawn anew for each share of the contexts. For small rho the mean rise is
             rho^2 Tr(H) / (2 P), with P the number of parameters.
    sam      u = g / |g|, with g the gradient of L over the first half of the sentences (Foret et al. 2021). The rise
             is measured on the other half, so that the step is not fitted to the words on which it is measured.

With the truth, L is the mean of -sum_v p*_v log f_v, which rises by as much as KL(p* || f).
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...estimate import Estimate
from ...generators import Language, Sentences
from ...generators.named import takes_names
from ...generators.sentences import Batch
from ...models import LanguageModel
from ...models.ops.fast_linear import FastProducts
from ..contexts import positions_at_a_time
from ..measure import (
    FlatnessMeasure,
    Measurement,
    Problem,
    at_least,
    check_dealt,
    check_positive,
    check_targets,
    flatness_measures,
)
from ..operator import Space, summed_loss
from ..trace_terms import Given
from .hutchinson import shares

DIRECTIONS = ("random", "sam")


@dataclass(frozen=True)
class Rise(Estimate):
    """The rise of the loss at distance `radius` in a direction, in nats."""

    direction: str
    radius: float


@takes_names
def sharpness(
    model: LanguageModel,
    sentences: Sentences,
    radii: tuple[float, ...] = (0.05, 0.5),
    seed: int = 0,
    masking: str = "one",
    *,
    probes: int = 100,
    targets: str = "sampled",
    language: Language | None = None,
) -> list[Rise]:
    """The rise of the loss in each direction at each radius.

    Args:
        model: the model.
        sentences: the sentences whose contexts define the loss.
        radii: distances from the weights.
        seed: the seed of hidden positions and directions.
        masking: "one", "bernoulli:p" or "next".
        probes: random directions, each on its own contexts.
        targets: "sampled" or "exact".
        language: the language of the sentences, needed for the truth.

    Returns:
        The rises, in nats. Their n is the number of probes; for sam, the number of measured sentences.

    Raises:
        InputError: as `hessian_trace` does, for radii that are not positive or are repeated, and if the loss at a
            radius is not finite.
    """
    if not radii or not all(0 < radius < float("inf") for radius in radii):
        raise InputError(f"radii are {list(radii)}, expected positive numbers; correct them")
    if len(set(radii)) < len(radii):
        raise InputError(f"radii are {list(radii)}, expected each once; remove the repeated one")
    check_targets(targets)
    model.eval()
    given = Problem(sentences, masking, seed, language).given(model, "sharpness" if targets == "exact" else None)
    found = [*_random(model, given, radii, probes), *_sam(model, given, radii)]
    for rise in found:
        if not math.isfinite(rise.value):
            raise InputError(
                f"radius {rise.radius:g}: the loss is not finite there, expected a shorter step; correct it"
            )
    return found


def _random(model: LanguageModel, given: Given, radii: tuple[float, ...], probes: int) -> list[Rise]:
    space, share = Space(model), shares(given, probes)
    moved = _Moved(model)
    rises: list[list[Tensor]] = [[] for _ in radii]
    counts = []
    for probe in range(probes):
        mine = (share == probe).nonzero()[:, 0]
        part, truth = _part(given, int(mine[0]), int(mine[-1]) + 1)
        direction = space.normal(given.generator)
        direction /= direction.norm()
        at_rest = moved.losses(part, truth, None)
        counts.append(len(part.rows))
        for found, radius in zip(rises, radii, strict=True):
            found.append((moved.losses(part, truth, radius * direction) - at_rest).sum())
    shared = torch.tensor(counts, dtype=torch.float64)
    estimates = [Estimate.from_ratio(torch.stack(found), shared) for found in rises]
    return [Rise(e.value, e.stderr, e.n, "random", radius) for e, radius in zip(estimates, radii, strict=True)]


def _sam(model: LanguageModel, given: Given, radii: tuple[float, ...]) -> list[Rise]:
    n = len(given.batch.inputs)
    fitted, its_truth = _part(given, 0, n // 2)
    part, truth = _part(given, n // 2, n)
    if not len(fitted.rows) or not len(part.rows):
        raise InputError(
            f"one half of the {n} sentences has no hidden word, expected some in both; give more sentences"
        )
    moved = _Moved(model)
    gradient = moved.gradient(fitted, its_truth)
    direction = gradient / gradient.norm().clamp(min=1e-30)
    at_rest = moved.losses(part, truth, None)
    found = []
    for radius in radii:
        e = part.mean(moved.losses(part, truth, radius * direction) - at_rest)
        found.append(Rise(e.value, e.stderr, e.n, "sam", radius))
    return found


def _part(given: Given, begin: int, end: int) -> tuple[Batch, Tensor | None]:
    batch, which = given.batch.select(slice(begin, end))
    return batch, None if given.truth is None else given.truth[which]


class _Moved:
    """A copy of the model with weights that can be moved."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = copy.deepcopy(model)
        self.space = Space(self.model)
        self.origin = self.space.join([parameter.detach() for parameter in self.space.parameters])

    def losses(self, batch: Batch, truth: Tensor | None, step: Tensor | None) -> Tensor:
        """The loss of each context at theta + step, [m] float64."""
        at = self.origin if step is None else self.origin + step
        with torch.no_grad(), FastProducts():
            for parameter, values in zip(self.space.parameters, self.space.split(at), strict=True):
                parameter.copy_(values)
            out = []
            for part, its_truth in self._parts(batch, truth):
                log_f = self.model.logits_at(part.inputs, part.rows, part.positions).double().log_softmax(1)
                if its_truth is None:
                    out.append(-log_f.gather(1, part.targets[:, None])[:, 0])
                else:
                    out.append(-(its_truth * log_f).sum(1))
        return torch.cat(out) if out else self.origin.new_zeros(0, dtype=torch.float64)

    def gradient(self, batch: Batch, truth: Tensor | None) -> Tensor:
        """The gradient of the summed loss at theta, [P]."""
        out = torch.zeros_like(self.origin)
        with torch.backends.cudnn.flags(enabled=False), FastProducts():
            for part, its_truth in self._parts(batch, truth):
                logits = self.model.logits_at(part.inputs, part.rows, part.positions)
                loss = summed_loss(logits, part, its_truth)
                out += self.space.join(torch.autograd.grad(loss, self.space.parameters, materialize_grads=True))
        return out

    def _parts(self, batch: Batch, truth: Tensor | None) -> list[tuple[Batch, Tensor | None]]:
        """The contexts in their order, in parts that one pass can read, each with its truth."""
        step = max(1, positions_at_a_time(self.model) // batch.inputs.shape[1])
        found = [batch.select(slice(i, i + step)) for i in range(0, len(batch.inputs), step)]
        return [(part, None if truth is None else truth[which]) for part, which in found if len(which)]


@flatness_measures.register("sharpness")
@dataclass(frozen=True)
class Sharpness(FlatnessMeasure):
    """The rise of the loss at each radius: block random 0.05, sam 0.05, ...

    Args:
        probes: random directions, each on its own contexts.
        targets: sampled words, or exact: their true probabilities, without label noise.
        radii: distances from the weights.
    """

    probes: int = 100
    targets: str = "sampled"
    radii: list[float] = field(default_factory=lambda: [0.05, 0.5])

    what = "sharpness"

    def __post_init__(self) -> None:
        at_least("probes", self.probes, 2)
        check_targets(self.targets)
        check_positive("radii", self.radii)

    @override
    def check(self, contexts: int) -> None:
        check_dealt("sharpness", self.probes, contexts)

    @override
    def measure(self, model: LanguageModel, problem: Problem) -> Iterator[Measurement]:
        """The rise in each direction at each radius, in nats."""
        found = sharpness(
            model,
            problem.sentences,
            tuple(self.radii),
            problem.seed,
            problem.masking,
            probes=self.probes,
            targets=self.targets,
            language=problem.language,
        )
        for rise in found:
            more = {"direction": rise.direction, "radius": rise.radius}
            yield Measurement(rise, f"{rise.direction} {rise.radius:g}", "nats", more)
