"""Contexts read part by part, where p* and p of all of them, [m, V + 1], do not fit into memory.

features f, the law of the label and the sentence of each context are kept; p* is computed anew in every pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...generators import Language
from ...generators.batches import exact_truth
from ...generators.prefixes.task import PrefixTask
from ...generators.sentences import Batch
from ...models import LanguageModel
from ...probes.feature_store import Features, FeatureStorage
from ...probes.next_word import Representations, class_words
from .contexts import features_of, sampled, sentences_of
from .measured import Measured, mean


@dataclass(frozen=True)
class Part:
    """Contexts of a task, all of the same sentences.

    Args:
        batch: their sentences.
        kept: which predictions of the batch have a label [predictions] bool.
        first: the number of the first sentence.
    """

    batch: Batch
    kept: Tensor
    first: int


class Streamed:
    """The contexts of a task on sampled sentences.

    Args:
        language: any language.
        model: a model that predicts the next word.
        task: gives the law of the label.
        words: the task has prefixes of so many words alone; of all lengths unless given.
        sentences: how many are sampled.
        seed: of the sample.
        part: samples of different parts are independent.

    Raises:
        InputError: where no context has a label.
    """

    def __init__(
        self,
        language: Language,
        model: LanguageModel,
        task: PrefixTask,
        words: int | None,
        sentences: int,
        seed: int,
        part: int,
    ) -> None:
        self.language = language
        whole, _ = sampled(language, sentences, seed, part)
        self.parts: list[Part] = []
        features, laws, clusters, first = [], [], [], 0
        for batch in sentences_of(whole, language.vocab_size + 1):
            law = task.at(batch)
            kept = law.sum(1) > 0.5
            if words is not None:
                kept &= batch.positions == words
            self.parts.append(Part(batch, kept, first))
            features.append(features_of(model, batch)[kept])
            laws.append(law[kept])
            clusters.append(batch.rows[kept] + first)
            first += len(batch.inputs)
        self.features, self.law, rows = torch.cat(features), torch.cat(laws), torch.cat(clusters)
        if not len(rows):
            length = "" if words is None else f" of {words} words"
            raise InputError(
                f"task '{task.name}' has no label on any prefix{length}, expected some; choose other words"
            )
        self.clusters = rows.unique(return_inverse=True)[1]
        self.weights = torch.ones(len(rows), dtype=torch.float64, device=rows.device)

    def truths(self) -> Iterator[tuple[slice, Tensor]]:
        """Yields the slice and p* [some, V + 1] of each part of the contexts."""
        at = 0
        for part in self.parts:
            truth = exact_truth(self.language, part.batch, "next")[part.kept]
            yield slice(at, at + len(truth)), truth
            at += len(truth)

    def mean(self, values: Tensor) -> Measured:
        """The mean of values [m] over the contexts."""
        return mean(values, self.weights, self.clusters)

    def class_words(self, words_each: int) -> Tensor:
        """See `probes.next_word.class_words`."""
        masses = self.law.double().sum(0)
        sums = torch.zeros(len(masses), self.language.vocab_size + 1, dtype=torch.float64, device=masses.device)
        for rows, truth in self.truths():
            sums += self.law[rows].double().T @ truth.double()
        means = sums / masses.clamp(min=1e-300)[:, None]
        return class_words(means, masses / masses.sum(), words_each)

    def stores(self, made: Representations, storage: FeatureStorage) -> dict[str, Features]:
        """All representations of the contexts, in files where they are large.

        Args:
            made: what makes them.
            storage: where they are kept.

        Returns:
            name -> [m, width].
        """
        found: dict[str, Features] = {}
        for rows, truth in self.truths():
            for name, values in made.of(self.features[rows], truth).items():
                if name not in found:
                    size = len(self.weights) * values.shape[1] * values.element_size()
                    found[name] = Features(len(self.weights), storage if storage.needs_file(size) else None)
                if len(values):
                    found[name].append(values.double())
        return found
