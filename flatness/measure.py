"""The interface of a flatness measure: its settings, its needs and its results, with the registry of all measures.

A measure is a frozen dataclass whose fields are its settings. Its registered name is the one used in
`satlab flatness --method`, in studies and in rows of results. See docs/extending.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from typing_extensions import override

from ..errors import InputError, at_least
from ..estimate import Estimate
from ..generators import Language, Sentences
from ..generators.named import as_kind
from ..models import LanguageModel
from ..randomness import random_stream
from ..registry import Registry
from .problem import TARGETS, check_targets, check_trainable, contexts_of, truth_of
from .trace_terms import Given, Terms, TraceEstimate

CURVATURE = "nats per squared parameter"
"""The unit of traces and eigenvalues of the Hessian."""


@dataclass(frozen=True)
class Needs:
    """What a measure needs besides the model and the sentences.

    Args:
        truth: the exact conditionals of the sentences' language.
    """

    truth: bool = False


@dataclass(frozen=True)
class Measurement:
    """One number of a measure, which becomes one row of results.

    Args:
        estimate: the value with its standard error.
        block: the part that was measured: "total", a kind of parameter, a radius, ...
        unit: its unit.
        more: further columns of the row.
    """

    estimate: Estimate
    block: str = "total"
    unit: str = CURVATURE
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.estimate, Estimate):
            raise InputError(
                f"a Measurement holds {self.estimate!r:.80}, expected an Estimate; write Estimate(value, stderr, n)"
            )


@dataclass(frozen=True)
class Problem:
    """The sentences on which flatness is measured. Each gives one context (x, t), or several with some maskings.

    Args:
        sentences: sampled from the language.
        masking: what is predicted, as in training: "one", "bernoulli:p" or "next".
        seed: the seed of hidden positions and all random choices.
        language: the language of the sentences; needed for the exact truth.
    """

    sentences: Sentences
    masking: str = "one"
    seed: int = 0
    language: Language | None = None

    def __post_init__(self) -> None:
        as_kind("sentences", self.sentences, {})
        if self.language is not None:
            object.__setattr__(self, "language", as_kind("language", self.language, {}))

    def generator(self) -> torch.Generator:
        """A fresh generator. Its first draws choose the hidden positions, so all measures see the same contexts."""
        return random_stream(self.seed, "flatness", device=self.sentences.tokens.device)

    def given(self, model: LanguageModel, truth_for: str | None) -> Given:
        """The contexts and, if a measure needs it, their truth.

        Args:
            model: the model.
            truth_for: the name of the measure that needs the truth; None to omit the truth.

        Returns:
            The contexts, the truth, and the generator for all further draws.

        Raises:
            InputError: if the masking does not fit the model, there are fewer than 2 sentences, the model has no
                trainable parameters, no word is hidden, or the truth is needed and no language is given.
        """
        check_trainable(model, self.sentences, self.masking)
        generator = self.generator()
        batch = contexts_of(model, self.sentences, self.masking, generator)
        truth = None if truth_for is None else truth_of(self.language, batch, self.masking, truth_for)
        return Given(batch, generator, truth)


class FlatnessMeasure(ABC):
    """A measure of flatness. Subclasses are frozen dataclasses whose fields are settings, checked at construction."""

    what: ClassVar[str]
    """The name of the quantity in rows."""

    needs: ClassVar[Needs] = Needs()

    gauss_newton: ClassVar[bool] = False
    """Whether the quantity is the Gauss-Newton trace, which figures prefer to other quantities."""

    @abstractmethod
    def measure(self, model: LanguageModel, problem: Problem) -> Iterator[Measurement]:
        """Measures the model on the problem. The total comes first."""

    def check(self, contexts: int) -> None:  # noqa: B027 - most measures work with any number of contexts
        """Raises InputError if the settings do not fit this number of contexts. Measures nothing."""


flatness_measures: Registry[FlatnessMeasure] = Registry("flatness method", "satlab.flatness.estimators")
"""name -> measure."""


class TraceMeasure(FlatnessMeasure):
    """The trace of a matrix, in total and by block, estimated from independent terms."""

    what = "hessian_trace"

    @abstractmethod
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """Independent terms whose mean is the trace."""

    def trace(self, model: LanguageModel, problem: Problem) -> TraceEstimate:
        """The trace, in total and by kind of parameter. Raises InputError as `Problem.given` does."""
        exact = self.needs.truth or getattr(self, "targets", "sampled") == "exact"
        given = problem.given(model, flatness_measures.name_of(self) if exact else None)
        return self.terms(model, given).estimate

    @override
    def measure(self, model: LanguageModel, problem: Problem) -> Iterator[Measurement]:
        """The total, then the blocks by name."""
        yield from in_blocks(self.trace(model, problem))


def in_blocks(trace: TraceEstimate, prefix: str = "", more: Mapping[str, Any] | None = None) -> Iterator[Measurement]:
    """The total as block `prefix`, or "total", then every kind of parameter as "prefix/kind"."""
    yield Measurement(trace, prefix or "total", more=more or {})
    for block, value in sorted(trace.blocks.items()):
        yield Measurement(value, f"{prefix}/{block}" if prefix else block, more=more or {})


def check_dealt(name: str, probes: int, contexts: int) -> None:
    """Raises InputError for more probes than contexts, because probes do not share contexts."""
    if probes > contexts:
        raise InputError(
            f"probes is {probes} with method {name} and {contexts} contexts, expected at most as many: "
            "probes do not share contexts; give fewer probes or more contexts"
        )


def check_positive(name: str, values: list[float]) -> None:
    """Raises InputError unless the values are positive, finite and distinct, and there is at least one."""
    if not values or not all(0 < value < float("inf") for value in values):
        raise InputError(f"{name} is {values}, expected positive numbers; correct it")
    if len(set(values)) < len(values):
        raise InputError(f"{name} is {values}, expected each once; remove the repeated one")


__all__ = [
    "CURVATURE",
    "TARGETS",
    "FlatnessMeasure",
    "Measurement",
    "Needs",
    "Problem",
    "TraceMeasure",
    "at_least",
    "check_dealt",
    "check_positive",
    "check_targets",
    "flatness_measures",
    "in_blocks",
]
