"""What a causal network says about texts, for a linear probe to read (Saunshi, Malladi and Arora 2020).

    features            f, d numbers
    conditional-mean    Phi p_f, d numbers
    probabilities       p_f = softmax(Phi^T f + b), V numbers
    subset, class-words the logits phi_w . f + b_w of some words, as in the authors' released code

A pass over the texts holds a few hundred rows of V numbers; p_f of all texts is kept in a file where it is large.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..feature_store import Features, FeatureStorage
from ..next_word import class_words

NAMES = ("features", "conditional-mean", "probabilities", "subset", "class-words")

AT_ONCE = 2**24
"""Numbers of p_f that are held at once."""


@dataclass(frozen=True)
class Head:
    """The output layer of a network.

    Args:
        phi: Phi [d, V].
        bias: b [V].
    """

    phi: Tensor
    bias: Tensor

    def parts(self, f: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yields the slice and the logits [m, V] of each part of the features f [n, d]."""
        size = max(1, AT_ONCE // self.phi.shape[1])
        for at in range(0, len(f), size):
            rows = slice(at, at + size)
            yield rows, torch.addmm(self.bias, f[rows].to(self.phi), self.phi)

    def class_means(self, f: Tensor, labels: Tensor, classes: int) -> Tensor:
        """p(w | y = k) [k, V] float64: the mean of p_f over the texts of each class.

        Args:
            f: [n, d].
            labels: [n], each class at least once.
            classes: their number k.

        Returns:
            The means.
        """
        sums = torch.zeros(classes, self.phi.shape[1], dtype=torch.float64, device=self.phi.device)
        for rows, logits in self.parts(f):
            sums.index_add_(0, labels[rows].to(sums.device), logits.softmax(1).double())
        return sums / labels.bincount(minlength=classes).to(sums)[:, None]

    def class_words(self, f: Tensor, labels: Tensor, classes: int, words_each: int) -> Tensor:
        """The words with the largest |log p(w | y = k) / p(w | y != k)|.

        Args:
            f: [n, d].
            labels: [n], each class at least once.
            classes: their number k.
            words_each: how many words each class takes.

        Returns:
            The words' numbers, each once, in their order.
        """
        shares = labels.bincount(minlength=classes).double() / len(labels)
        means = self.class_means(f, labels, classes)
        return class_words(means, shares.to(means.device), words_each)

    def representations(
        self, f: Tensor, subset: Tensor, class_words: Tensor, storage: FeatureStorage
    ) -> dict[str, Features]:
        """All representations of the same texts, in one pass.

        Args:
            f: [n, d].
            subset: numbers of words.
            class_words: numbers of words.
            storage: where p_f is kept.

        Returns:
            name -> [n, width] float32.
        """
        size = len(f) * self.phi.shape[1] * torch.float32.itemsize
        stores = {name: Features(len(f)) for name in NAMES}
        stores["probabilities"] = Features(len(f), storage if storage.needs_file(size) else None)
        for rows, logits in self.parts(f):
            p = logits.softmax(1)
            found = f[rows], p @ self.phi.T, p, logits[:, subset], logits[:, class_words]
            for name, part in zip(NAMES, found, strict=True):
                stores[name].append(part.cpu())
        return stores
