"""Why next-word prediction helps linear classifiers, as inequalities (Saunshi, Malladi and Arora 2020).

A task is natural where a bounded linear function v of the next word's law p*(. | s) solves it: tau(B) is its least
loss. A model whose loss exceeds the least one by eps then has probabilities p, conditional means Phi p_f and, up to how
far log Z is from a quadratic form, features f whose least loss is at most

    tau(B) + B (2 eps / gamma)^(1/2),

where gamma says how much of the training contexts the task's contexts are. Each step of each proof is one link.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError, at_least
from ..generators import Language
from ..generators.prefixes.task import find_prefix_task
from .next_word import probabilities, representations
from .next_word.contexts import Contexts, check_causal, contexts_of, finite_of, task_contexts, with_law
from .next_word.finite import Finite
from .next_word.log_partition import Quadratic, fit_quadratic, linear_fit, log_partition, second_cumulant
from .next_word.losses import Loss, check_loss
from .next_word.natural import natural
from .next_word.natural_classes import natural_classes
from .next_word.softmax import best_softmax, row_basis
from .theorem import Link, Subject, Theorem, theorems


@theorems.register("saunshi")
@dataclass(frozen=True)
class Saunshi(Theorem):
    """A language model with a small excess loss solves natural tasks nearly as well as the truth does.

    All sides are computed on the same contexts: all prefixes of a language that has at most 2,000, else those of
    sampled sentences. The inequalities hold there as for any contexts, so that rounding alone is allowed for.

    Args:
        task: a task of prefixes, such as state:ahead=2.
        positive: the classes that count as y = 1, separated by spaces; half of them unless given.
        words: the task has prefixes of so many words alone; of all lengths unless given.
        bound: B, the largest radius of v.
        loss: logistic or hinge.
        sentences: how many are sampled.
    """

    task: str = "next-word"
    positive: str | None = None
    words: int | None = None
    bound: float = 8.0
    loss: Loss = "logistic"
    sentences: int = 1000

    source = "Saunshi, Malladi and Arora 2020"

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 2)
        check_loss(self.loss)
        probabilities.check_lipschitz(self.loss)
        if not 0 < self.bound < float("inf"):
            raise InputError(f"bound is {self.bound}, expected a positive number; correct it")
        if self.words is not None:
            at_least("words", self.words, 0)

    def check(self, subject: Subject) -> Iterator[Link]:
        """Every link of the proofs, for any model, for softmax models, for means, features and Quad, and others.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            The links.

        Raises:
            InputError: for another model, and a task that the language does not have.
        """
        check_causal(subject.model)
        contexts, task_weights, law, classes = given_task(
            subject.language, self.task, self.positive, self.words, self.sentences, subject.seed
        )
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
        straight = linear_fit(finite.head[0], finite.p @ phi.T, finite.task_weights)
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


@lru_cache(maxsize=4)
def given_task(
    language: Language, task: str, positive: str | None, words: int | None, sentences: int, seed: int
) -> tuple[Contexts, Tensor, Tensor, Tensor]:
    """What depends on the language and the task alone, computed once for all checkpoints.

    Args:
        language: any language.
        task: the name of a task of prefixes.
        positive: the classes that count as y = 1.
        words: the length of the task's prefixes.
        sentences: how many are sampled.
        seed: of the sample.

    Returns:
        (contexts, p_T [m], P(y | s) [m, 2], P(class | s) [m, classes] of the classes that occur).
    """
    contexts = contexts_of(language, sentences, seed)
    found = find_prefix_task(language, task)
    weights, law = task_contexts(contexts, found, words, positive)
    _, classes = task_contexts(contexts, found, words, "")
    occurring = (weights[:, None] * classes).sum(0) > 1e-9 * weights.sum()
    classes = classes[:, occurring]
    total = classes.sum(1, keepdim=True)
    return contexts, weights, law, torch.where(total > 0, classes / total.clamp(min=1e-300), 0.0)
