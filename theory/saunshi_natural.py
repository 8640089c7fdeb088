"""How natural tasks are: the least loss tau(B) of a bounded linear function of p*(. | s), by its bound B.

    least loss of any classifier  <=  tau(B)  <=  tau_Phi(B),

since no function of s beats the law of the label, and v in the span of the words' features is one of all v.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from .next_word.chain import link, unit_of
from .next_word.contexts import finite_of
from .next_word.losses import Loss, expected
from .next_word.natural import TOLERANCE, natural
from .next_word.softmax import row_basis
from .next_word.task_theorem import TaskTheorem
from .theorem import Link, Subject, theorems

LEAST, RESTRICTED = "least loss <= tau", "tau <= tau_Phi"
"""How the links of each B end."""


@theorems.register("saunshi-natural")
@dataclass(frozen=True)
class SaunshiNatural(TaskTheorem):
    """tau(B) of a task for several B, between what no classifier beats and tau_Phi(B) of a model's word features.

    Args:
        bounds: values of B, separated by spaces.
    """

    bounds: str = "0.25 0.5 1 2 4 8 16 32 64"

    source = "Saunshi, Malladi and Arora 2020, natural tasks"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.values

    @property
    def values(self) -> list[float]:
        """The values of B."""
        try:
            values = [float(text) for text in self.bounds.split()]
        except ValueError:
            values = []
        if not values or not all(0 < value < float("inf") for value in values):
            raise InputError(
                f"bounds is '{self.bounds:.60}', expected positive numbers separated by spaces; correct it"
            )
        return values

    def check(self, subject: Subject) -> Iterator[Link]:
        """Two links for each B.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            The links.

        Raises:
            InputError: for another model, and a task that the language does not have.
        """
        contexts, task_weights, law, _ = self.given(subject)
        finite = finite_of(subject.model, contexts, task_weights, law)
        basis, unit = row_basis(finite.head[1]), unit_of(self.loss)
        least = finite.over_task(least_of_any(self.loss, finite.eta))
        for bound in self.values:
            asked = self.loss, finite.truth, finite.eta, task_weights, bound
            free, inside = (
                finite.over_task(expected(self.loss, natural(*asked, of).scores(finite.truth), finite.eta))
                for of in (None, basis)
            )
            yield link(f"B = {bound:g}: {LEAST}", least, free, unit)
            # Both minima are found up to the width of their certificates.
            found = link(f"B = {bound:g}: {RESTRICTED}", free, inside, unit)
            yield replace(found, slack=found.slack + 2 * TOLERANCE)


def least_of_any(loss: Loss, eta: Tensor) -> Tensor:
    """The least expected loss of any score, for P(y = 1 | s) = eta [m]: [m]."""
    if loss == "hinge":
        return 2 * torch.minimum(eta, 1 - eta)
    entropy: Tensor = torch.special.entr(eta) + torch.special.entr(1 - eta)
    return entropy
