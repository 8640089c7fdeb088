"""SOAP from pytorch_optimizer: Adam in the eigenbases of Shampoo's preconditioner."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from .base import Optimizer, decayed_groups, optimizers, wrong
from .library import pytorch_optimizer

if TYPE_CHECKING:
    import torch
    from torch import nn


@optimizers.register("soap")
@dataclass(frozen=True)
class SOAP(Optimizer):
    """SOAP rotates a matrix's gradient into slowly changing eigenbases, and takes Adam's step there.

        L <- b2 L + (1 - b2) G G^T;  R <- b2 R + (1 - b2) G^T G;  W <- W - lr (decay W + Q_L A(Q_L^T G Q_R) Q_R^T),

    where A is Adam's step, and Q_L and Q_R are approximate eigenvectors of L and R, updated every `precondition_every`
    steps by one power iteration and QR. Vectors take Adam's step without rotation. The first step only fills L and R.

    Args:
        lr: peak learning rate.
        betas: decay rates b1, b2 of Adam's two moments; b2 is also that of L and R.
        eps: added to the root of the second moment.
        weight_decay: decay of matrices and embeddings.
        precondition_every: steps from one eigenbasis to the next.
        precondition_up_to: longest side of a matrix, such as the number of words, that has an eigenbasis.

    Raises:
        InputError: for a setting out of range.

    Source: Vyas et al. 2024, 2409.11321; pytorch_optimizer.
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    precondition_every: int = 10
    precondition_up_to: int = 10_000

    shardable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("precondition_every", "precondition_up_to"):
            if getattr(self, name) < 1:
                raise wrong(name, getattr(self, name), "at least 1")

    @override
    def check_installed(self) -> None:
        pytorch_optimizer("soap")

    @override
    def build(self, model: "nn.Module", sharded: bool = False) -> "torch.optim.Optimizer":
        made: torch.optim.Optimizer = pytorch_optimizer("soap").SOAP(
            decayed_groups(model.parameters(), self.weight_decay),
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            precondition_frequency=self.precondition_every,
            max_precondition_dim=self.precondition_up_to,
        )
        return made

    @override
    def state_size(self, total: int, embeddings: int) -> int:
        # A matrix r x c also has L, R and their two bases: 2 (r^2 + c^2) >= 4 r c.
        return 2 * total + 4 * (total - embeddings)
