"""The contexts on which the theorems on next-word prediction are checked, and what a model and a task say of each."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import InputError
from ...generators import Language
from ...generators.batches import exact_truth, make_batch
from ...generators.prefixes.all_prefixes import all_prefixes
from ...generators.prefixes.task import PrefixTask
from ...generators.sentences import Batch
from ...models import LanguageModel
from ...randomness import random_stream
from ...system.memory import check_memory
from .finite import Finite

LISTED = 2000
"""The most prefixes of a language that are listed, each with its probability, instead of sampled."""

HELD = 5
"""Arrays [m, V + 1] that a theorem holds at once: p*, log p, p, their difference and a product."""

READ_AT_ONCE = 4096
"""Sentences that the model reads at once."""


@dataclass(frozen=True)
class Contexts:
    """Prefixes with what may follow them.

    Args:
        batch: the prefixes, as predictions of masking "next".
        weights: p_L [m], the law under which a model meets them in training.
        truth: p* [m, V + 1].
        listed: whether these are all prefixes of the language; otherwise they are those of sampled sentences.
    """

    batch: Batch
    weights: Tensor
    truth: Tensor
    listed: bool

    @property
    def clusters(self) -> Tensor | None:
        """The sentence of each prefix [m]; None where all prefixes are listed."""
        return None if self.listed else self.batch.rows


def contexts_of(language: Language, sentences: int, seed: int, part: int = 0, most: int = LISTED) -> Contexts:
    """All prefixes of a small language, or the prefixes of sampled sentences.

    Args:
        language: any language.
        sentences: how many are sampled where the language has too many prefixes.
        seed: of the sample.
        part: samples of different parts are independent.
        most: how many prefixes are listed at most.

    Returns:
        The contexts.

    Raises:
        TooLargeError: where p* and p of all contexts do not fit into memory.
    """
    listed = all_prefixes(language, most)
    if listed is not None:
        return Contexts(*listed, exact_truth(language, listed[0], "next"), True)
    generator = random_stream(seed, "theory", *([part] if part else []), device=language.device)
    drawn = language.sample(sentences, generator, latents=False)
    batch = make_batch(drawn, "next", language.vocab_size, generator)
    check_memory(
        HELD * 8 * len(batch.rows) * (language.vocab_size + 1),
        f"a table of {len(batch.rows):,} contexts x {language.vocab_size + 1:,} words",
        "give fewer sentences",
    )
    weights = torch.full((len(batch.rows),), 1 / len(batch.rows), dtype=torch.float64, device=language.device)
    return Contexts(batch, weights, exact_truth(language, batch, "next"), False)


def check_causal(model: LanguageModel) -> None:
    """Raises InputError for a model that does not predict the next word by a linear head."""
    if not model.causal:
        raise InputError(
            f"model '{model.name}' predicts hidden words, expected one that predicts the next word; take a gpt model"
        )


@torch.no_grad()
def head_of(model: LanguageModel) -> tuple[Tensor, Tensor]:
    """(Phi [d, C], bias [C]) of a model with logits = Phi^T f + bias, float64."""
    like = next(model.parameters())
    zero = torch.zeros(1, model.feature_size, dtype=like.dtype, device=like.device)
    bias = model.logits(zero).double()
    eye = torch.eye(model.feature_size, dtype=like.dtype, device=like.device)
    return model.logits(eye).double() - bias, bias[0]


@torch.no_grad()
def features_of(model: LanguageModel, batch: Batch) -> Tensor:
    """f [m, d] in float64, in evaluation mode; some sentences at a time."""
    training = model.training
    model.eval()
    like = next(model.parameters())
    out = torch.empty(len(batch.rows), model.feature_size, dtype=torch.float64, device=batch.rows.device)
    for begin in range(0, len(batch.inputs), READ_AT_ONCE):
        some, which = batch.select(slice(begin, begin + READ_AT_ONCE))
        found = model.features_at(
            some.inputs.to(like.device), some.rows.to(like.device), some.positions.to(like.device)
        )
        out[which] = found.double().to(out.device)
    model.train(training)
    return out


def task_contexts(
    contexts: Contexts, task: PrefixTask, words: int | None, positive: str | None
) -> tuple[Tensor, Tensor]:
    """What a task says of the contexts.

    Args:
        contexts: the contexts.
        task: gives the law of the label.
        words: the task has prefixes of so many words alone; of all lengths unless given.
        positive: the classes that count as y = 1; see `PrefixTask.positive`. With "" all classes stay apart.

    Returns:
        (p_T [m], P(y | s) [m, 2], or [m, classes]).

    Raises:
        InputError: where no context of this length has a label.
    """
    law = task.at(contexts.batch)
    inside = law.sum(1) > 0.5
    if words is not None:
        inside &= contexts.batch.positions == words
    if not bool(inside.any()):
        length = "" if words is None else f" of {words} words"
        raise InputError(f"task '{task.name}' has no label on any prefix{length}, expected some; choose other words")
    if positive != "":
        eta = law[:, task.positive(positive)].sum(1).clamp(0, 1)
        law = torch.stack([1 - eta, eta], 1)
    return contexts.weights * inside, law


def finite_of(model: LanguageModel, contexts: Contexts, task_weights: Tensor, law: Tensor) -> Finite:
    """Contexts, truth, model and task together.

    Args:
        model: a model that predicts the next word.
        contexts: the contexts.
        task_weights: p_T [m].
        law: P(y | s) [m, classes].

    Returns:
        What the theorems speak of.

    Raises:
        InputError: for a model that predicts hidden words.
    """
    check_causal(model)
    phi, bias = head_of(model)
    features = features_of(model, contexts.batch)
    log_p = (features @ phi.to(features) + bias.to(features)).log_softmax(1)
    given = contexts.weights, task_weights, contexts.truth, log_p, law, contexts.clusters
    return Finite(*given, features, phi.to(features), bias.to(features))


def with_law(finite: Finite, law: Tensor) -> Finite:
    """The same contexts with another label."""
    return replace(finite, posterior=law)
