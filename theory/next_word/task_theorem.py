"""What theorems on one task of prefixes share: their settings, and the task's contexts with the laws of its labels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import at_least
from ...generators import Language
from ...generators.prefixes.task import find_prefix_task
from ..theorem import Subject, Theorem
from . import probabilities
from .contexts import Contexts, check_causal, contexts_of, task_contexts
from .losses import Loss, check_loss


class GivenTask(NamedTuple):
    """What depends on the language and the task alone.

    Args:
        contexts: the contexts.
        weights: p_T [m].
        law: P(y | s) [m, 2].
        classes: P(class | s) [m, classes] of the classes that occur.
    """

    contexts: Contexts
    weights: Tensor
    law: Tensor
    classes: Tensor


@dataclass(frozen=True)
class TaskTheorem(Theorem):
    """A theorem on one task of prefixes.

    Args:
        task: a task of prefixes, such as state:ahead=2.
        positive: the classes that count as y = 1, separated by spaces; half of them unless given.
        words: the task has prefixes of so many words alone; of all lengths unless given.
        loss: logistic or hinge.
        sentences: how many are sampled where the language has more than 2,000 prefixes.
    """

    task: str = "next-word"
    positive: str | None = None
    words: int | None = None
    loss: Loss = "logistic"
    sentences: int = 1000

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 2)
        check_loss(self.loss)
        probabilities.check_lipschitz(self.loss)
        if self.words is not None:
            at_least("words", self.words, 0)

    def given(self, subject: Subject) -> GivenTask:
        """The contexts and the task, computed once for all checkpoints.

        Args:
            subject: a model that predicts the next word, and its language.

        Returns:
            The contexts with the laws of the labels.

        Raises:
            InputError: for another model, and a task that the language does not have.
        """
        check_causal(subject.model)
        asked = subject.language, self.sentences, subject.seed
        return GivenTask(contexts_once(*asked), *_laws(*asked, self.task, self.positive, self.words))


@lru_cache(maxsize=1)
def contexts_once(language: Language, sentences: int, seed: int) -> Contexts:
    """The contexts, kept from one check to the next: see `contexts_of`."""
    return contexts_of(language, sentences, seed)


@lru_cache(maxsize=4)
def _laws(
    language: Language, sentences: int, seed: int, task: str, positive: str | None, words: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    contexts = contexts_once(language, sentences, seed)
    found = find_prefix_task(language, task)
    weights, law = task_contexts(contexts, found, words, positive)
    _, classes = task_contexts(contexts, found, words, "")
    occurring = (weights[:, None] * classes).sum(0) > 1e-9 * weights.sum()
    classes = classes[:, occurring]
    total = classes.sum(1, keepdim=True)
    return weights, law, torch.where(total > 0, classes / total.clamp(min=1e-300), 0.0)
