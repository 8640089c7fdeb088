"""The state of an optimiser as named tensors, to store in a file or to send to another process.

    3.exp_avg            a tensor of parameter 3
    3.Q.[0]              the first of a list of tensors
    3.Q.[0]:1,0          the same, stored with its axes in the order in which they lie in memory
    3.beta:float         a number, as a tensor without axes
    3.GG.[0]:list        an empty list
    group.0.step:int     the steps that an optimiser counts in a group

The memory layout of a matrix decides the last bits of its products. So the order of the axes is part of the state, and
loading copies every tensor to memory that torch aligns.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}
"""Type of a number -> type of its tensor."""

GROUP_STATE = ("step",)
"""The keys of a group that belong to the state. All others are settings."""


def flattened(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns the state by name.

    Args:
        optimizer: its state holds tensors, numbers, and lists and mappings of them; its groups may count steps.

    Raises:
        TypeError: for a state that holds anything else, or a name that is not a text or contains one of `.:[]`.
    """
    content = optimizer.state_dict()
    found = dict(item for index, entry in content["state"].items() for item in _leaves(str(index), entry))
    for number, group in enumerate(content["param_groups"]):
        counted = {key: group[key] for key in GROUP_STATE if key in group}
        found |= dict(_leaves(f"group.{number}", counted))
    return found


def load_flattened(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Loads the state that `flattened` returned for an optimiser of the same parameters."""
    tree: dict[str, Any] = {}
    for key, tensor in tensors.items():
        path, _, kind = key.partition(":")
        *outer, last = path.split(".")
        within = tree
        for name in outer:
            within = within.setdefault(name, {})
        within[last] = _restored(tensor, kind)
    counted = tree.pop("group", {})
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(
        {
            "state": {int(index): _with_lists(entry) for index, entry in tree.items()},
            "param_groups": [group | counted.get(str(number), {}) for number, group in enumerate(groups)],
        }
    )


def _restored(tensor: Tensor, kind: str) -> Any:
    """Returns the tensor, number or empty list that a stored tensor represents."""
    if not kind:
        return tensor.clone()
    if kind == "list":
        return []
    if kind in (number.__name__ for number in NUMBERS):
        return tensor.item()
    order = [int(axis) for axis in kind.split(",")]
    return tensor.clone().permute([order.index(axis) for axis in range(len(order))])


def _with_lists(value: Any) -> Any:
    """Returns the value with lists instead of mappings from [0], [1], ..."""
    if not isinstance(value, dict):
        return value
    if "[0]" in value:
        return [_with_lists(value[f"[{number}]"]) for number in range(len(value))]
    return {name: _with_lists(inner) for name, inner in value.items()}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every tensor, number and empty list in a value."""
    if isinstance(value, Tensor):
        order = sorted(range(value.dim()), key=lambda axis: -value.stride()[axis])
        straight = value.is_contiguous()
        yield (path, value) if straight else (f"{path}:{','.join(map(str, order))}", value.permute(order).contiguous())
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or set(name) & set(".:[]"):
                raise TypeError(f"an optimiser's state has the name {name!r} in {path}, expected a plain one")
            yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(f"{path}.[{number}]", inner)
    elif isinstance(value, list):
        # One element, because an empty tensor cannot be sent to another process.
        yield f"{path}:list", torch.zeros(1)
    elif type(value) in NUMBERS:
        yield f"{path}:{type(value).__name__}", torch.tensor(value, dtype=NUMBERS[type(value)])
    else:
        raise TypeError(f"an optimiser's state has a {type(value).__name__} in {path}, expected tensors and numbers")
