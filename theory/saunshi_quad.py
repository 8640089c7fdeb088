"""What the Quad objective learns: the top eigenspace of Omega = E[p* p*^T] (Saunshi, Malladi and Arora 2020).

With logits z = Phi^T f + b, the rank r of (Phi, b) and the projector Pi on their row space,

    - sum_(i <= r) lambda_i(Omega) / 2  <=  - tr(Pi Omega) / 2  <=  E [ |z|^2 / 2 - z . p* ]

the least value of any head, of this head, and that of the model. Where the first two agree, Pi is the projector on the
top-r eigenspace, and otherwise its principal angles theta_i to it obey

    (lambda_r - lambda_(r+1)) sum_i sin^2 theta_i  <=  sum_(i <= r) lambda_i - tr(Pi Omega).

Where Omega has fewer than r large eigenvalues, these angles say nothing. So those between Pi and the first k
eigenvectors v_i follow, with k <= r where lambda_k / lambda_(k+1) is largest. Since p_i = |Pi v_i|^2 sums to r,

    sum_(i <= k) (1 - p_i) = sum_(i <= k) sin^2 theta_i
        <=  (sum_(i <= r) lambda_i - tr(Pi Omega)) / (lambda_k - lambda_(r+1)).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import at_least
from ..models.ops.linear_head import row_space
from .next_word.chain import link
from .next_word.contexts import check_causal, contexts_of, finite_of, one_label
from .next_word.finite import Finite
from .next_word.measured import Measured
from .next_word.probabilities import fixed
from .next_word.rows import each, total
from .theorem import Link, Subject, Theorem, theorems


@theorems.register("saunshi-quad")
@dataclass(frozen=True)
class SaunshiQuad(Theorem):
    """The Quad objective of a model, of its head and of any head; its angles to the top eigenspace of E[p* p*^T].

    Args:
        sentences: how many are sampled where the language has more than 2,000 prefixes.
    """

    sentences: int = 1000

    source = "Saunshi, Malladi and Arora 2020, the Quad objective"

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 2)

    def check(self, subject: Subject) -> Iterator[Link]:
        """The two inequalities of the objective, then those of the angles.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            Four links; three where the eigenvalues of Omega do not fall.

        Raises:
            InputError: for another model.
        """
        check_causal(subject.model)
        contexts = contexts_of(subject.language, self.sentences, subject.seed)
        yield from quad_links(finite_of(subject.model, contexts, contexts.weights, one_label(contexts)))


def quad_links(finite: Finite) -> Iterator[Link]:
    """The links of `SaunshiQuad`.

    Args:
        finite: contexts, truth and model, with the head.

    Yields:
        Four links; three where the eigenvalues of Omega do not fall.
    """
    f, phi, bias = finite.head
    basis = row_space(phi, bias)

    def objective(truth: Tensor, features: Tensor) -> Tensor:
        logits = features @ phi + bias
        return logits.square().sum(1) / 2 - (logits * truth).sum(1)

    def squares(rows: Tensor) -> Tensor:
        return each(lambda truth: (truth.double() @ rows).square().sum(1), finite.truth)

    loss = finite.over_language(each(objective, finite.truth, f))
    own = finite.over_language(squares(basis)) * -0.5
    values, vectors = _eigen(finite)
    r = basis.shape[1]
    top = finite.over_language(squares(vectors[:, :r])) * -0.5
    yield link("quad: least of any head of this rank <= least of this head", top, own, "quad")
    yield link("quad: least of this head <= loss", own, loss, "quad")
    cosines = torch.linalg.svdvals(basis.T @ vectors[:, :r]).clamp(max=1.0)
    following = float(values[r]) if r < len(values) else 0.0
    sines = fixed((float(values[r - 1]) - following) * float((1 - cosines.square()).sum()), own)
    left = _positive(own - top) * 2
    yield link("quad: eigenvalue gap times squared sines <= what this head leaves", sines, left, "quad")
    k = _largest_fall(values[: r + 1])
    if (gap := float(values[k - 1]) - following) > 0:
        missed = fixed(k - float((basis.T @ vectors[:, :k]).square().sum()), own)
        name = f"quad: squared sines to the top {k} eigenvectors <= what this head leaves / their gap"
        yield link(name, missed, left * (1 / gap), "")


def _largest_fall(values: Tensor) -> int:
    """The k at which lambda_k / lambda_(k+1) is largest; eigenvalues below rounding count alike."""
    floored = values.clamp(min=float(values[0]) * torch.finfo(values.dtype).eps)
    return 1 + int((floored[:-1] / floored[1:]).argmax()) if len(values) > 1 else 1


def _eigen(finite: Finite) -> tuple[Tensor, Tensor]:
    """(eigenvalues, eigenvectors) of Omega, the largest first."""
    share = (finite.weights / finite.weights.sum()).double()
    omega = total(lambda truth, w: truth.double().T @ (truth * w[:, None]), finite.truth, share)
    values, vectors = torch.linalg.eigh(omega)
    return values.flip(0), vectors.flip(1)


def _positive(number: Measured) -> Measured:
    return number if number.value >= 0 else number * 0.0
