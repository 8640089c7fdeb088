"""Shampoo from pytorch_optimizer for the matrices inside the network, AdamW for all other parameters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from .base import Optimizer, decayed_groups, is_positive, matrices_inside, optimizers, wrong
from .library import pytorch_optimizer

if TYPE_CHECKING:
    import torch
    from torch import nn


@optimizers.register("shampoo")
@dataclass(frozen=True)
class Shampoo(Optimizer):
    """Shampoo scales a matrix's gradient from both sides by roots of its summed second moments.

        L <- L + G G^T;  R <- R + G^T G;  W <- W - lr (decay W + L^(-1/4) G R^(-1/4)),

    where L and R start at eps I. Their roots are recomputed every `precondition_every` steps; before the first time, a
    matrix only decays. The sums keep growing, so steps shrink like 1 / sqrt(k). AdamW trains embeddings, positions,
    norms and biases.

    Args:
        lr: peak learning rate.
        betas: AdamW's decay rates of the two moments.
        eps: AdamW's epsilon.
        weight_decay: decay of matrices and embeddings.
        matrix_lr: peak learning rate of the matrices inside the network; lr unless given.
        precondition_every: steps from one pair of roots to the next.
        matrix_eps: the eps of L and R.

    Raises:
        InputError: for a setting out of range.

    Source: Gupta, Koren and Singer 2018, 1802.09568; pytorch_optimizer.
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    matrix_lr: float | None = None
    precondition_every: int = 1
    matrix_eps: float = 1e-6

    shardable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.precondition_every < 1:
            raise wrong("precondition_every", self.precondition_every, "at least 1")
        for name in ("matrix_lr", "matrix_eps"):
            value = getattr(self, name)
            if value is not None and not is_positive(value):
                raise wrong(name, value, "a positive number")

    @override
    def check_installed(self) -> None:
        pytorch_optimizer("shampoo")

    @override
    def build(self, model: "nn.Module", sharded: bool = False) -> "torch.optim.Optimizer":
        import torch

        from ..composite import Composite

        inside, others = matrices_inside(model)
        groups = decayed_groups(others, self.weight_decay)
        rest = torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)
        if not inside:
            return rest
        matrices = pytorch_optimizer("shampoo").Shampoo(
            inside,
            lr=self.lr,
            weight_decay=self.weight_decay,
            weight_decouple=True,
            preconditioning_compute_steps=self.precondition_every,
            matrix_eps=self.matrix_eps,
        )
        matrices.param_groups[0]["lr_ratio"] = 1.0 if self.matrix_lr is None else self.matrix_lr / self.lr
        return Composite([matrices, rest])

    @override
    def state_size(self, total: int, embeddings: int) -> int:
        # For a matrix r x c: its last step, and two moments with their roots, 2 (r^2 + c^2) >= 4 r c.
        return 2 * embeddings + 5 * (total - embeddings)
