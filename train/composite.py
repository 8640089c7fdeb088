"""Combines several optimisers into one."""

from collections.abc import Callable
from typing import Any

import torch


class Composite(torch.optim.Optimizer):
    """Several optimisers in one: each updates its own groups, and all share one state.

    Args:
        parts: the optimisers.
    """

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        self.sizes = [len(part.param_groups) for part in parts]
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Takes one step of each part, with the current state and groups, because loading a state replaces both."""
        begin = 0
        for part, size in zip(self.parts, self.sizes, strict=True):
            part.state, part.param_groups = self.state, self.param_groups[begin : begin + size]
            part.step()
            begin += size
