"""Muon for the matrices inside the network, AdamW for all other parameters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from ...errors import InputError
from .base import Optimizer, decayed_groups, is_positive, matrices_inside, optimizers, wrong

if TYPE_CHECKING:
    import torch
    from torch import nn

MOST_ITERATIONS = 99
"""The most Newton-Schulz iterations that torch allows in one step."""


@optimizers.register("muon")
@dataclass(frozen=True)
class Muon(Optimizer):
    """Muon moves a matrix along the orthogonal factor of its momentum.

        B <- momentum B + (1 - momentum) g;  W <- W - lr (decay W + 0.2 sqrt(max(rows, columns)) O),

    where O = U V^T is the orthogonal factor of g + momentum (B - g) = U S V^T, approximated by Newton-Schulz iterations
    in float32 on a CPU and in bfloat16 on a GPU. The factor of O gives its steps the scale of AdamW's, so that one
    learning rate suits both. AdamW trains embeddings, positions, norms and biases.

    Args:
        lr: peak learning rate.
        betas: AdamW's decay rates of the two moments.
        eps: AdamW's epsilon.
        weight_decay: decay of matrices and embeddings.
        matrix_lr: peak learning rate of the matrices inside the network; lr unless given.
        muon_momentum: share of B that is kept.
        ns_steps: Newton-Schulz iterations.

    Raises:
        InputError: for a setting out of range, and a torch without Muon.

    Source: Jordan et al. 2024; Liu et al. 2025, 2502.16982, for the scale.
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    matrix_lr: float | None = None
    muon_momentum: float = 0.95
    ns_steps: int = 5

    shardable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.matrix_lr is not None and not is_positive(self.matrix_lr):
            raise wrong("matrix_lr", self.matrix_lr, "a positive number")
        if not 0 <= self.muon_momentum < 1:
            raise wrong("muon_momentum", self.muon_momentum, "a share of at least 0 and below 1")
        if not 1 <= self.ns_steps <= MOST_ITERATIONS:
            raise wrong("ns_steps", self.ns_steps, f"1 to {MOST_ITERATIONS}")

    @override
    def check_installed(self) -> None:
        import torch

        if not hasattr(torch.optim, "Muon"):
            raise InputError(f"optimizer 'muon' with torch {torch.__version__}, expected 2.9 or later; install that")

    @override
    def build(self, model: "nn.Module", sharded: bool = False) -> "torch.optim.Optimizer":
        import torch

        from ..composite import Composite
        from ..muon_step import CpuMuon

        inside, others = matrices_inside(model)
        groups = decayed_groups(others, self.weight_decay)
        rest = torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)
        if not inside:
            return rest
        matrices = CpuMuon(
            inside,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.muon_momentum,
            ns_steps=self.ns_steps,
            adjust_lr_fn="match_rms_adamw",
        )
        matrices.param_groups[0]["lr_ratio"] = 1.0 if self.matrix_lr is None else self.matrix_lr / self.lr
        return Composite([matrices, rest])

    @override
    def state_size(self, total: int, embeddings: int) -> int:
        return total + embeddings
