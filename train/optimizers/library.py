"""Imports pytorch_optimizer, an optional library of optimisers."""

from typing import Any

from ...errors import InputError


def pytorch_optimizer(name: str) -> Any:
    """Imports the library.

    Args:
        name: the name of the optimiser that needs it.

    Returns:
        The module.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import pytorch_optimizer
    except ImportError:
        raise InputError(
            f"optimizer '{name}': pytorch_optimizer is not installed, expected the extra `soap`; pip install "
            "'saturation-lab[soap]'"
        ) from None
    return pytorch_optimizer
