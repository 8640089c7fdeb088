"""The optimisers, one file each: every module in this folder is imported and registers what it defines."""

from importlib import import_module
from pkgutil import iter_modules

from .base import Optimizer, configured, optimizers

__all__ = ["Optimizer", "configured", "optimizers"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
