"""Muon's step in float32 for CPUs, on which torch's own bfloat16 step takes 10 to 30 times as long."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class CpuMuon(torch.optim.Muon):
    """torch's Muon with Newton-Schulz iterations in the matrices' own precision, on all matrices of one shape at once.

    Few CPUs multiply bfloat16 in hardware. The state, the groups and the update rule are those of torch.optim.Muon with
    adjust_lr_fn "match_rms_adamw". If any parameter is on a GPU, the step is torch's own.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """B <- momentum B + (1 - momentum) g;  W <- (1 - lr decay) W - lr 0.2 sqrt(max(rows, columns)) O."""
        if any(not p.is_cpu for group in self.param_groups for p in group["params"]):
            super().step(closure)  # type: ignore[no-untyped-call]
            return
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for (rows, columns), matrices in alike.items():
                directions = orthogonal(
                    torch.stack([self._momentum(p, group["momentum"]) for p in matrices]),
                    group["ns_coefficients"],
                    group["ns_steps"],
                    group["eps"],
                )
                scale = 0.2 * max(rows, columns) ** 0.5
                for p, direction in zip(matrices, directions, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(direction, alpha=-group["lr"] * scale)

    def _momentum(self, p: Tensor, momentum: float) -> Tensor:
        """Updates the momentum B of a matrix, and returns g + momentum (B - g)."""
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        average: Tensor = state["momentum_buffer"]
        assert p.grad is not None
        average.lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(average, momentum)


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], iterations: int, eps: float) -> Tensor:
    """Computes nearly orthogonal factors by Newton-Schulz iterations, in the precision of the matrices.

        X <- M / max(|M|_F, eps);  X <- a X + (b X X^T + c (X X^T)^2) X,    repeated

    Args:
        matrices: M, [n, rows, columns].
        coefficients: a, b, c.
        iterations: number of iterations.
        eps: least divisor.

    Returns:
        U p(S) V^T for each M = U S V^T, [n, rows, columns], where p is the polynomial of the iterations.

    Source: Jordan et al. 2024, Muon.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=eps)[:, None, None]
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
