"""Bartlett's identity: if the model is the truth, the covariance of the gradient is the Hessian.

With one word hidden in each context c, and l(v) = -log f(v | c) the loss of the word v,

    Sigma = E_c sum_v p*_v  grad l(v) grad l(v)^T        the second moment of the gradient, words sampled from p*
    G     = E_c J^T (diag f - f f^T) J                   the Gauss-Newton matrix, J the Jacobian of the logits
    H     = grad^2 E_c sum_v p*_v l(v)                   the Hessian of the population loss

f = p* implies Sigma = G = H, because sum_v f_v grad log f_v = 0 and the second derivatives of the logits in H - G have
the factor f - p* = 0. The mean gradient then vanishes as well, so that Sigma is the covariance of SGD's noise at batch
size 1.

A trained model never equals the truth exactly. The check therefore replaces the truth by the model, p* := f, which is
possible on any set of contexts.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError, at_least
from ..estimate import Estimate
from ..flatness.contexts import probabilities
from ..flatness.operator import Curvature, Kind, Space, twice_differentiable
from ..flatness.problem import check_trainable, contexts_of, truth_of
from ..generators.sentences import Batch
from ..models import LanguageModel
from ..randomness import random_stream
from .theorem import Link, Subject, Theorem, theorems

ROUNDING, TWICE_ROUNDING = 1e-12, 1e-8
"""The relative error that float64 may cause in quantities with one derivative, and in those with two."""

POSITIONS = 2**14
"""The positions of the contexts that one pass reads."""

LARGEST = 4096
"""The most parameters of a model whose matrices are formed."""


def word_gradients(model: LanguageModel, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """The gradient of every word's log-probability, context by context.

    One backward pass, vectorised over the words, forms the gradients of a context. Tied weights count once.

    Args:
        model: any model.
        batch: the contexts.

    Yields:
        (f [C], the gradients of log f(v) for all words v [C, P]) of each context.
    """
    space = Space(model)
    for row, position in zip(batch.rows.tolist(), batch.positions.tolist(), strict=True):
        words = batch.inputs[row][batch.inputs[row] != model.pad_id]
        with twice_differentiable(several=True):
            one = torch.zeros(1, dtype=torch.long, device=words.device)
            logits = model.logits_at(words[None], one, one + position)[0]
            log_f = logits.log_softmax(0)
            found = torch.autograd.grad(
                log_f,
                space.parameters,
                torch.eye(len(log_f), dtype=log_f.dtype, device=log_f.device),
                allow_unused=True,
                is_grads_batched=True,
            )
        parts = [
            parameter.new_zeros(len(log_f), *parameter.shape) if gradient is None else gradient
            for parameter, gradient in zip(space.parameters, found, strict=True)
        ]
        yield log_f.detach().exp(), space.join(parts)


def gradient_covariance(model: LanguageModel, batch: Batch, truth: Tensor | None = None) -> Tensor:
    """Sigma [P, P], the second moment of the gradient over the contexts of a batch.

    Args:
        model: a model of at most 4,096 trainable parameters.
        batch: the contexts, weighted equally.
        truth: p* [m, C], the distribution of the words; f itself unless given.

    Returns:
        Sigma, float64.

    Raises:
        InputError: for a larger model.
    """
    size = _small(model)
    sigma = torch.zeros(size, size, dtype=torch.float64, device=batch.rows.device)
    for number, (f, gradients) in enumerate(word_gradients(model, batch)):
        weights, gradients = (f if truth is None else truth[number]).double(), gradients.double()
        sigma += gradients.T @ (weights[:, None] * gradients)
    return sigma / len(batch.rows)


def curvature_matrix(model: LanguageModel, batch: Batch, kind: Kind, truth: Tensor | None = None) -> Tensor:
    """The Hessian, the Gauss-Newton matrix or their difference [P, P] over the contexts of a batch.

    Args:
        model: a model of at most 4,096 trainable parameters.
        batch: the contexts, weighted equally.
        kind: which matrix.
        truth: p* [m, C]; the sampled words unless given.

    Returns:
        The matrix, float64.

    Raises:
        InputError: for a model of more than 4,096 trainable parameters.
    """
    size = _small(model)
    matrix = Curvature(model, kind, batch, truth, POSITIONS)
    basis = torch.eye(size, dtype=matrix.space.dtype, device=matrix.space.device)
    return torch.cat([matrix(some) for some in basis.split(matrix.space.together)]).double()


def _small(model: LanguageModel) -> int:
    size = len(Space(model))
    if size > LARGEST:
        raise InputError(
            f"model '{model.name}' has {size} trainable parameters, expected at most {LARGEST} where matrices are "
            "formed; take a smaller one"
        )
    return size


@theorems.register("bartlett")
@dataclass(frozen=True)
class Bartlett(Theorem):
    """Covariance of the gradient = Gauss-Newton matrix = Hessian, if the model is the truth: p* := f.

    Each side is v^T A v, averaged over normal random vectors v [P], which estimates the trace of A. All sides use the
    same vectors, so they agree up to rounding in float64. Away from saturation, with the language's own p*, the Hessian
    exceeds the Gauss-Newton matrix by the residual term E_c sum_v (f_v - p*_v) grad^2 z_v.

    Args:
        contexts: number of sampled sentences.
        vectors: number of random vectors.
    """

    contexts: int = 100
    vectors: int = 4

    source = "Liu, Xie, Li and Ma 2022, Lemma 4.2; Bartlett 1953"

    def __post_init__(self) -> None:
        at_least("contexts", self.contexts, 2)
        at_least("vectors", self.vectors, 2)

    def check(self, subject: Subject) -> Iterator[Link]:
        """The two equations of the lemma, then the equation that replaces the second away from saturation.

        Args:
            subject: a model and its language.

        Yields:
            The three equations.

        Raises:
            InputError: for a model without trainable parameters.
        """
        model = copy.deepcopy(subject.model).double().eval()
        generator = random_stream(subject.seed, "theory", device=subject.language.device)
        sentences = subject.language.sample(self.contexts, generator, latents=False)
        check_trainable(model, sentences, subject.masking)
        batch = contexts_of(model, sentences, subject.masking, generator)
        space = Space(model)
        vectors = torch.stack([space.normal(generator) for _ in range(self.vectors)])

        def along(kind: Kind, truth: Tensor) -> Tensor:
            """v^T A v of each vector, [vectors]."""
            matrix = Curvature(model, kind, batch, truth, POSITIONS)
            return torch.cat([(some * matrix(some)).sum(1) for some in vectors.split(space.together)])

        own = probabilities(model, batch)
        noise = torch.zeros(self.vectors, dtype=torch.float64, device=vectors.device)
        for f, gradients in word_gradients(model, batch):
            noise += f @ (gradients @ vectors.T).square()
        fisher = along("gauss-newton", own)
        yield _equal("covariance = gauss-newton", noise / len(batch.rows), fisher, ROUNDING, fisher)
        yield _equal("gauss-newton = hessian", fisher, along("hessian", own), TWICE_ROUNDING, fisher)
        truth = truth_of(subject.language, batch, subject.masking, "bartlett")
        excess = along("hessian", truth) - fisher
        yield _equal("hessian - gauss-newton = residual", excess, along("residual", truth), TWICE_ROUNDING, fisher)


def _equal(name: str, left: Tensor, right: Tensor, relative: float, scale: Tensor) -> Link:
    """The link between two sides [vectors]. Their means may differ by the share `relative` of the mean of `scale`."""
    sides = Estimate.from_samples(left), Estimate.from_samples(right)
    return Link(name, *sides, "=", relative * abs(float(scale.mean())), "nats per squared parameter")
