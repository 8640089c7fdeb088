"""The contexts on which the theorems on next-word prediction are checked, and what a model and a task say of each."""

from collections.abc import Iterator
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
from ...models.ops.linear_head import head_of
from ...randomness import random_stream
from .finite import Finite
from .rows import Stored, Table, fits, table_of

LISTED = 2000
"""The most prefixes of a language that are listed, each with its probability, instead of sampled."""

TRUTH_AT_ONCE = 2**25
"""Probabilities of the truth that are computed at once, 256 MB."""

READ_AT_ONCE = 4096
"""Sentences that the model reads at once."""


@dataclass(frozen=True)
class Contexts:
    """Prefixes with what may follow them.

    Args:
        batch: the prefixes, as predictions of masking "next".
        weights: p_L [m], the law under which a model meets them in training.
        truth: p* [m, V + 1]; in a file where it does not fit into memory.
        listed: whether these are all prefixes of the language; otherwise they are those of sampled sentences.
    """

    batch: Batch
    weights: Tensor
    truth: Table
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
        TooLargeError: where p* and p of all contexts fit neither into memory nor on disk.
    """
    listed = all_prefixes(language, most)
    batch, weights = listed or sampled(language, sentences, seed, part)
    return Contexts(batch, weights, _truth(language, batch), listed is not None)


def sampled(language: Language, sentences: int, seed: int, part: int = 0) -> tuple[Batch, Tensor]:
    """The prefixes of sampled sentences, as predictions of masking "next", and their weights [m]; see `contexts_of`."""
    generator = random_stream(seed, "theory", *([part] if part else []), device=language.device)
    drawn = language.sample(sentences, generator, latents=False)
    batch = make_batch(drawn, "next", language.vocab_size, generator)
    return batch, torch.full((len(batch.rows),), 1 / len(batch.rows), dtype=torch.float64, device=language.device)


def _truth(language: Language, batch: Batch) -> Table:
    held = fits(len(batch.rows), language.vocab_size + 1)
    some = (exact_truth(language, part, "next") for part in sentences_of(batch, language.vocab_size + 1))
    if held:
        return torch.cat(list(some))
    made = Stored(len(batch.rows), batch.rows.device)
    for part in some:
        made.append(part)
    return made


def sentences_of(batch: Batch, words: int) -> Iterator[Batch]:
    """A batch in parts of so many sentences that their truth, with this number of words, is computed at once."""
    each = max(1, TRUTH_AT_ONCE // (batch.inputs.shape[1] * words))
    for first in range(0, len(batch.inputs), each):
        yield batch.select(slice(first, first + each))[0]


def check_causal(model: LanguageModel) -> None:
    """Raises InputError for a model that does not predict the next word by a linear head."""
    if not model.causal:
        raise InputError(
            f"model '{model.name}' predicts hidden words, expected one that predicts the next word; take a gpt model"
        )


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
    law = torch.cat([task.at(some) for some in sentences_of(contexts.batch, contexts.truth.shape[1])])
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
    phi, bias = phi.to(features), bias.to(features)
    # The truth is read for where its rows lie alone: log p lies where it does.
    log_p = table_of(lambda _, f: (f @ phi + bias).log_softmax(1), contexts.truth, features)
    given = contexts.weights, task_weights, contexts.truth, log_p, law, contexts.clusters
    return Finite(*given, features, phi, bias)


def with_law(finite: Finite, law: Tensor) -> Finite:
    """The same contexts with another label."""
    return replace(finite, posterior=law)


def one_label(contexts: Contexts) -> Tensor:
    """The law [m, 1] of a label that says nothing, for theorems that speak of none."""
    return torch.ones_like(contexts.weights)[:, None]
