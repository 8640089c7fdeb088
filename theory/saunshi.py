"""Why next-word prediction helps linear classifiers, as inequalities (Saunshi, Malladi and Arora 2020).

A task is natural where a bounded linear function v of the next word's law p*(. | s) solves it: tau(B) is its least
loss. A model whose loss exceeds the least one by eps then has probabilities p, conditional means Phi p_f and, up to how
far log Z is from a quadratic form, features f whose least loss is at most

    tau(B) + B (2 eps / gamma)^(1/2),

where gamma says how much of the training contexts the task's contexts are. Each step of each proof is one link.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import InputError
from .next_word import probabilities, representations
from .next_word.contexts import finite_of, with_law
from .next_word.finite import Finite
from .next_word.log_partition import Quadratic, fit_quadratic, linear_fit, log_partition, second_cumulant
from .next_word.natural import natural
from .next_word.natural_classes import natural_classes
from .next_word.probabilities import along
from .next_word.softmax import best_softmax, row_basis
from .next_word.task_theorem import TaskTheorem
from .theorem import Link, Subject, theorems


@theorems.register("saunshi")
@dataclass(frozen=True)
class Saunshi(TaskTheorem):
    """A language model with a small excess loss solves natural tasks nearly as well as the truth does.

    All sides are computed on the same contexts: all prefixes of a language that has at most 2,000, else those of
    sampled sentences. The inequalities hold there as for any contexts, so that rounding alone is allowed for. Where
    tables of contexts x words do not fit into memory, they are kept in files.

    Args:
        bound: B, the largest radius of v.
    """

    bound: float = 8.0

    source = "Saunshi, Malladi and Arora 2020"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.bound < float("inf"):
            raise InputError(f"bound is {self.bound}, expected a positive number; correct it")

    def check(self, subject: Subject) -> Iterator[Link]:
        """Every link of the proofs, for any model, for softmax models, for means, features and Quad, and others.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            The links.

        Raises:
            InputError: for another model, and a task that the language does not have.
        """
        contexts, task_weights, law, classes = self.given(subject)
        finite = finite_of(subject.model, contexts, task_weights, law)
        asked = finite.truth, finite.eta, task_weights, self.bound
        v = natural(self.loss, *asked)
        yield from probabilities.unconstrained(finite, self.loss, v, self.bound)
        yield from probabilities.zero_one(finite, v)
        yield from probabilities.squared(finite, natural("square", *asked), self.bound)
        if classes.shape[1] > 2:
            several = natural_classes(finite.truth, classes, task_weights, self.bound)
            apart = with_law(finite, classes)
            yield from probabilities.many_classes(apart, several.table, several.intercepts, self.bound)
        _, phi, bias = finite.head
        basis = row_basis(phi)
        inside = natural(self.loss, *asked, basis)
        best = best_softmax(basis, bias, finite.truth, finite.log_p)
        yield from representations.softmax(finite, self.loss, inside, self.bound, best)
        yield from representations.conditional_mean(finite, self.loss, inside, self.bound, best)
        yield from representations.features(finite, self.loss, inside, self.bound, best, form_of(finite))
        straight = linear_fit(finite.head[0], along(finite.p, phi.T), finite.task_weights)
        given = finite, self.loss, inside, self.bound, best, straight
        yield from representations.features(*given, name="features, A by regression")
        yield from representations.quad(finite, self.loss, inside, self.bound)


def form_of(finite: Finite) -> Quadratic:
    """The quadratic form that fits log Z; its second cumulant where there are too few contexts for a fit."""
    f, phi, bias = finite.head
    numbers = (f.shape[1] + 1) * (f.shape[1] + 2) // 2
    if len(f) < numbers:
        return second_cumulant(phi, bias)
    return fit_quadratic(f, log_partition(f, phi, bias), finite.weights)
