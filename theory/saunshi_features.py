"""Which representations of next-word prediction a linear probe reads best: no one beats the law of the label.

For every representation g of a context s, with the exact law P(y | s) of the label,

    E H(P(. | s))  <=  E [-log q(y | g(s))],        E [1 - max_y P(y | s)]  <=  E [1 - P(argmax q | s)]

at each context, hence on any sample. q is multinomial logistic regression, fitted to labels drawn on other contexts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import at_least
from ..generators.prefixes.task import draw_labels, find_prefix_task
from ..probes.feature_store import Features
from ..probes.next_word import class_words, probe_inputs
from ..probes.optimum import Optimum
from ..randomness import random_stream
from .next_word.chain import link
from .next_word.contexts import Contexts, check_causal, contexts_of, finite_of, task_contexts
from .next_word.finite import Finite
from .theorem import Link, Subject, Theorem, theorems


@theorems.register("saunshi-features")
@dataclass(frozen=True)
class SaunshiFeatures(Theorem):
    """The law of the label is at least as good as a probe on f, Phi p_f, p_f, some logits, p* and others.

    Args:
        task: a task of prefixes, such as state:ahead=2.
        words: the task has prefixes of so many words alone; of all lengths unless given.
        sentences: how many are sampled for the fit, and as many again for the test.
        words_each: class words for each class.
    """

    task: str = "next-word"
    words: int | None = None
    sentences: int = 1000
    words_each: int = 1

    source = "Saunshi, Malladi and Arora 2020, the comparison of representations"

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 10)
        at_least("words_each", self.words_each, 1)
        if self.words is not None:
            at_least("words", self.words, 0)

    def check(self, subject: Subject) -> Iterator[Link]:
        """Cross-entropy and mistakes of each representation beside those of the label's law.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            Two links for each representation.

        Raises:
            InputError: for another model, and a task that the language does not have.
        """
        check_causal(subject.model)
        task = find_prefix_task(subject.language, self.task)
        sides = []
        for part in (1, 2):
            contexts = contexts_of(subject.language, self.sentences, subject.seed, part, most=0)
            weights, law = task_contexts(contexts, task, self.words, "")
            sides.append(_within(contexts, finite_of(subject.model, contexts, weights, law)))
        fitted, tested = sides
        chosen = class_words(fitted.truth, fitted.posterior, fitted.task_weights, self.words_each)
        inputs = [probe_inputs(*side.head, side.truth, chosen, subject.seed) for side in sides]
        labels = draw_labels(fitted.posterior, random_stream(subject.seed, "tasks", device=fitted.truth.device))
        law = tested.posterior
        least = tested.over_task(torch.special.entr(law).sum(1))
        wrong = tested.over_task(1 - law.amax(1))
        for name, given in inputs[0].items():
            store = Features(len(given))
            store.append(given.double())
            probe = Optimum(l2=None).fit(store, labels, law.shape[1], subject.seed)
            scores = probe.scores(inputs[1][name]).log_softmax(1)
            loss = tested.over_task(-(law * scores).sum(1))
            mistakes = tested.over_task(1 - law.gather(1, scores.argmax(1, keepdim=True))[:, 0])
            yield link(f"{name}: entropy of the label <= cross-entropy", least, loss, "nats")
            yield link(f"{name}: least mistakes <= mistakes", wrong, mistakes, "probability")


def _within(contexts: Contexts, finite: Finite) -> Finite:
    """The contexts that have a label, their sentences counted anew."""
    kept = finite.task_weights > 0

    def of(values: Tensor) -> Tensor:
        return values[kept]

    clusters = contexts.batch.rows[kept].unique(return_inverse=True)[1]
    f, phi, bias = finite.head
    parts = of(finite.weights), of(finite.task_weights), of(finite.truth), of(finite.log_p), of(finite.posterior)
    return Finite(*parts, clusters, of(f), phi, bias)
