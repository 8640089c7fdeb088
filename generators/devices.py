"""Copies an object that has tensors as attributes to another device."""

import copy
from functools import cached_property
from typing import Any, TypeVar

import torch

from ..errors import InputError

T = TypeVar("T")


def on_device(item: T, device: torch.device | str) -> T:
    """A copy of an object with its attributes on another device. The copy computes each cached_property again.

    Args:
        item: the object. Attributes with a method `to` are moved, also within tuples and lists; others are kept.
        device: the target device.

    Returns:
        The copy.

    Raises:
        InputError: for a device that this machine does not have.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise InputError(
            f"device is '{device}', expected cpu or, with a GPU, cuda ({reason}); choose another device"
        ) from None
    moved = copy.copy(item)
    moved.__dict__ = {
        name: _moved(value, device)
        for name, value in vars(item).items()
        if not isinstance(getattr(type(item), name, None), cached_property)
    }
    return moved


def _moved(value: Any, device: torch.device | str) -> Any:
    """A value on another device."""
    if isinstance(value, (tuple, list)):
        return type(value)(_moved(item, device) for item in value)
    return value.to(device) if hasattr(value, "to") else value
