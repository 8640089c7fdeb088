"""What an optimiser is, and how the settings of a training run become its own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from ...errors import InputError, unknown
from ...registry import Registry, settings_of


class Optimizer(ABC):
    """A way to change the weights along their gradients. An entry is a frozen dataclass whose fields are its settings.

    A field takes the value of the training setting of the same name; where training has none, that of optimizer_settings.
    """

    shardable: ClassVar[bool] = True
    """Whether it works on parts of a parameter, so that fsdp may spread them over processes."""

    @abstractmethod
    def build(self, model: nn.Module, sharded: bool = False) -> torch.optim.Optimizer:
        """The optimiser for the model's parameters.

        Its state holds tensors alone, and a group may hold `lr_ratio`: its learning rate over that of the schedule.

        Args:
            model: its parameters are what is optimised.
            sharded: whether they are parts, one a process.
        """

    @abstractmethod
    def state_size(self, total: int, embeddings: int) -> int:
        """Numbers that its state holds at the least for a model of so many parameters, `embeddings` of them in embeddings."""


optimizers: Registry[Optimizer] = Registry("optimizer", __package__ or "")


def decayed_groups(parameters: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices, which decay, and vectors (biases, norms), which do not."""
    parameters = list(parameters)
    matrices, vectors = ([p for p in parameters if (p.dim() > 1) == wide] for wide in (True, False))
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def configured(name: str, settings: Mapping[str, Any], more: Mapping[str, Any]) -> Optimizer:
    """The optimiser of this name.

    Args:
        name: of an entry.
        settings: all settings of training; those that have the name of a field are taken.
        more: optimizer_settings: the fields that training has no setting for.

    Raises:
        InputError: an unknown name, a setting in `more` that the optimiser lacks or that training has, or a wrong value.
    """
    entry = optimizers[name]
    fields = {field.name: field for field in settings_of(entry)}
    own = [field for field in fields if field not in settings]
    for key in more:
        if key in fields and key not in own:
            raise InputError(f"optimizer_settings holds '{key}', which is a setting of training; give {key} itself")
        if key not in own and not own:
            raise InputError(f"optimizer_settings holds '{key}', but optimizer '{name}' has no such; leave them out")
        if key not in own:
            raise InputError(f"optimizer_settings of '{name}': {unknown('key', key, own)}")
    values = {key: settings[key] for key in fields if key in settings}
    return entry(**values, **{key: _typed(key, value, fields[key].type) for key, value in more.items()})


def _typed(name: str, value: Any, declared: Any) -> Any:
    """The value of a setting as the type that is declared for it. Raises InputError where it is none such."""
    kinds = get_args(declared) or (declared,)
    if isinstance(value, bool) and bool not in kinds:
        raise wrong(name, value, _in_words(kinds))
    if float in kinds and isinstance(value, (int, str)):
        try:
            return float(value)
        except ValueError:
            raise wrong(name, value, _in_words(kinds)) from None
    if not isinstance(value, kinds):
        raise wrong(name, value, _in_words(kinds))
    return value


def _in_words(kinds: Iterable[Any]) -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return " or ".join(words.get(kind, str(kind)) for kind in kinds)


def wrong(name: str, value: Any, expected: str) -> InputError:
    """What is raised for a setting in optimizer_settings with a value that it cannot have."""
    return InputError(f"optimizer_settings: {name} is '{value}', expected {expected}; correct it")


def is_positive(value: float) -> bool:
    """Whether a number is above zero and finite."""
    return 0 < value < math.inf
