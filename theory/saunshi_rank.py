"""How near to the truth a softmax model with d features can be, whatever its features are: `next_word.rank`."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import at_least
from .next_word.chain import link
from .next_word.contexts import check_causal, contexts_of, finite_of, one_label
from .next_word.measured import mean
from .next_word.rank import least_kl
from .next_word.rows import each
from .next_word.softmax import best_softmax, kl, row_basis
from .theorem import Link, Subject, Theorem, theorems


@theorems.register("saunshi-rank")
@dataclass(frozen=True)
class SaunshiRank(Theorem):
    """The least KL with d features <= the least KL with this model's word features <= the model's KL.

    Where the first is not near 0, no training saturates a model of this width: the truth, as log p*, has a larger rank.

    Args:
        sentences: how many are sampled where the language has more than 2,000 prefixes.
        starts: random starts of the search for the least KL.
    """

    sentences: int = 100
    starts: int = 1

    source = "Saunshi, Malladi and Arora 2020; the rank of softmax models"

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 2)
        at_least("starts", self.starts, 0)

    def check(self, subject: Subject) -> Iterator[Link]:
        """The two inequalities, on the same contexts.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            Two links.

        Raises:
            InputError: for another model.
        """
        check_causal(subject.model)
        contexts = contexts_of(subject.language, self.sentences, subject.seed)
        finite = finite_of(subject.model, contexts, contexts.weights, one_label(contexts))
        _, phi, bias = finite.head
        best = best_softmax(row_basis(phi), bias, finite.truth, finite.log_p)
        least = least_kl(finite.truth, finite.weights, len(phi), finite.head, self.starts, subject.seed)
        given = finite.weights, finite.clusters
        left = mean(least.each, *given)
        middle = mean(each(kl, finite.truth, best.log_p), *given)
        if middle.value < left.value:
            left = middle
        yield link("least kl of d features <= least kl of these word features", left, middle, "nats")
        yield link("least kl of these word features <= kl", middle, finite.epsilon, "nats")
