"""What next-word prediction gives a linear probe to read, beside the features themselves (Saunshi et al. 2020).

With p_f = softmax(Phi^T f + b) and p* the truth:

    features            f(s), d numbers
    conditional-mean    Phi p_f(s), d numbers
    probabilities       p_f(s), V + 1 numbers
    subset, class-words the logits phi_w . f + b_w of some words, as the authors' released code takes them
    projection          a random projection of p_f(s) to d numbers
    truth, truth-mean   p*(s) and Phi p*(s)
"""

import torch
from torch import Tensor

from ..errors import InputError, at_least
from ..randomness import random_stream

SUBSET = 14
"""Words of the subset, as many as the authors chose for sentiment."""


def class_words(means: Tensor, shares: Tensor, words_each: int = 1) -> Tensor:
    """The words that tell each class from the others best: largest |log p(w | y = k) / p(w | y != k)|.

    Args:
        means: p(w | y = k) [k, C].
        shares: P(y = k) [k].
        words_each: how many words each class takes.

    Returns:
        The words' numbers, each once, in their order.

    Raises:
        InputError: for fewer than one word a class.
    """
    at_least("words_each", words_each, 1)
    chosen: list[int] = []
    joint = shares[:, None] * means
    all_words = joint.sum(0)
    for k, share in enumerate(shares.tolist()):
        rest = torch.cat([joint[:k], joint[k + 1 :]]).sum(0)
        if not share or not float(rest.sum()):
            continue
        score = (means[k].clamp(min=1e-12) / (rest / rest.sum()).clamp(min=1e-12)).log().abs()
        # Where both probabilities are negligible the ratio says nothing.
        score[all_words < 1e-9] = -1
        chosen += [word for word in score.argsort(descending=True).tolist() if word not in chosen][:words_each]
    return torch.tensor(sorted(chosen), device=means.device)


class Representations:
    """What makes the representations of contexts, however many are given at a time.

    Args:
        phi: Phi [d, C].
        bias: b [C].
        chosen: the numbers of the class words.
        seed: of the random projection, and of the subset that completes the class words.
    """

    def __init__(self, phi: Tensor, bias: Tensor, chosen: Tensor, seed: int = 0) -> None:
        self.phi, self.bias, self.chosen = phi, bias, chosen
        d, words = phi.shape
        generator = random_stream(seed, "probe", 0, 2)
        listed = set(chosen.tolist())
        others = [word for word in torch.randperm(words, generator=generator).tolist() if word not in listed]
        self.subset = [*chosen.tolist(), *others][: min(SUBSET, max(len(chosen), words // 2))]
        # The right singular vectors of a Gaussian matrix: orthonormal directions without a preference.
        gaussian = torch.randn(min(d, words), words, generator=generator, dtype=torch.float64).to(phi)
        self.directions = torch.linalg.svd(gaussian, full_matrices=False).Vh

    def of(self, features: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """All representations of the same contexts.

        Args:
            features: f [m, d].
            truth: p* [m, C].

        Returns:
            name -> [m, width].

        Raises:
            InputError: where truth and model have different words.
        """
        if truth.shape[1] != self.phi.shape[1]:
            raise InputError(
                f"the truth has {truth.shape[1]} words, the model {self.phi.shape[1]}, expected the same; match them"
            )
        logits = features @ self.phi + self.bias
        p = logits.softmax(1)
        return {
            "features": features,
            "conditional-mean": p @ self.phi.T,
            "probabilities": p,
            "subset": logits[:, self.subset],
            "class-words": logits[:, self.chosen],
            "projection": p @ self.directions.T,
            "truth": truth,
            "truth-mean": truth @ self.phi.T,
        }
