"""Which representations of next-word prediction a linear probe reads best: no one beats the law of the label.

For every representation g of a context s, with the exact law P(y | s) of the label,

    E H(P(. | s))  <=  E [-log q(y | g(s))],        E [1 - max_y P(y | s)]  <=  E [1 - P(argmax q | s)]

at each context, hence on any sample. q is multinomial logistic regression, fitted to labels drawn on other contexts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..errors import at_least
from ..generators.prefixes.task import draw_labels, find_prefix_task
from ..models.ops.linear_head import head_of
from ..probes.feature_store import FeatureStorage
from ..probes.next_word import Representations
from ..probes.optimum import Optimum
from ..randomness import random_stream
from .next_word.chain import link
from .next_word.contexts import check_causal
from .next_word.streamed import Streamed
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
        given = subject.language, subject.model, task, self.words, self.sentences, subject.seed
        fitted, tested = (Streamed(*given, part) for part in (1, 2))
        phi, bias = head_of(subject.model)
        made = Representations(phi, bias, fitted.class_words(self.words_each), subject.seed)
        seen, unseen = (side.stores(made, FeatureStorage()) for side in (fitted, tested))
        labels = draw_labels(fitted.law, random_stream(subject.seed, "tasks", device=fitted.law.device))
        law = tested.law
        least = tested.mean(torch.special.entr(law).sum(1))
        wrong = tested.mean(1 - law.amax(1))
        for name, store in seen.items():
            probe = Optimum(l2=None).fit(store, labels, law.shape[1], subject.seed)
            scores = torch.cat([probe.scores(part).log_softmax(1) for _, part in unseen[name].in_order()]).to(
                law.device
            )
            loss = tested.mean(-(law * scores).sum(1))
            mistakes = tested.mean(1 - law.gather(1, scores.argmax(1, keepdim=True))[:, 0])
            yield link(f"{name}: entropy of the label <= cross-entropy", least, loss, "nats")
            yield link(f"{name}: least mistakes <= mistakes", wrong, mistakes, "probability")
