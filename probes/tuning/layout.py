"""The positions of a mask and a prompt before a text, within the positions on which a model was trained.

A model reads at most T positions. With K artificial words of a prompt and one mask, it reads the first T - 1 - K words
of the text, so that every position has occurred in training. The task's label should depend on no further words.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...models import LanguageModel

ORDERS = ("prompt-mask-text", "mask-prompt-text")
"""The order in the released code of Wei, Xie and Ma 2021, and the order with the mask first."""


@dataclass(frozen=True)
class Layout:
    """The positions of a mask, a prompt and a text.

    Args:
        length: T, the number of positions of the model.
        prompt: K, the number of artificial words of the prompt.
        order: one of ORDERS.

    Raises:
        InputError: for another order, and if no position remains for the text.
    """

    length: int
    prompt: int = 0
    order: str = ORDERS[0]

    def __post_init__(self) -> None:
        check_order(self.order)
        if self.text < 1:
            what = f"a prompt of {self.prompt} and the mask" if self.prompt else "the mask"
            raise InputError(
                f"prompt is {self.prompt}: {what} need {self.prompt + 1} of the model's {self.length} positions, "
                f"expected at least one for the text; give prompt at most {max(self.length - 2, 0)}"
            )

    @property
    def text(self) -> int:
        """The number of words of the text that are read."""
        return self.length - 1 - self.prompt

    @property
    def mask(self) -> int:
        """The mask's position, counted from 0."""
        return self.prompt if self.order == ORDERS[0] else 0

    def tokens(self, model: LanguageModel, text: Tensor) -> Tensor:
        """The tokens that the model reads.

        Args:
            model: gives the ids of its special tokens; artificial word k has the id cls_id + 1 + k.
            text: tokens [n, L].

        Returns:
            [n, at most T]: prompt and mask in their order, then the first words of the text.
        """
        n = len(text)
        mask = torch.full((n, 1), model.mask_id, device=text.device)
        fake = (model.cls_id + 1 + torch.arange(self.prompt, device=text.device)).expand(n, -1)
        first = [fake, mask] if self.order == ORDERS[0] else [mask, fake]
        return torch.cat([*first, text[:, : self.text]], 1)


def check_order(order: str) -> None:
    """Raises InputError for an order that does not exist."""
    if order not in ORDERS:
        raise InputError(f"order is '{order}', expected one of {', '.join(ORDERS)}; correct it")


def check_masked(causal: bool, name: str) -> None:
    """Raises InputError for a causal model, whose prediction at a mask before the text does not depend on the text."""
    if causal:
        raise InputError(
            f"model '{name}' reads from left to right, so a mask before the text tells it nothing; expected a masked "
            "model; give a bert or lstm model"
        )
