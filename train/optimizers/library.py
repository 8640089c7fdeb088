"""Optimisers of the library pytorch_optimizer, which is installed for those who want them."""

from typing import Any

from ...errors import InputError


def pytorch_optimizer(name: str) -> Any:
    """Imports the library.

    Args:
        name: of the optimiser that needs it.

    Returns:
        The module.

    Raises:
        InputError: where it is not installed.
    """
    try:
        import pytorch_optimizer
    except ImportError:
        raise InputError(
            f"optimizer '{name}': pytorch_optimizer is not installed, expected the extra `soap`; pip install "
            "'saturation-lab[soap]'"
        ) from None
    return pytorch_optimizer
