"""The interface of an optimiser, its registry, and how it gets its settings from those of training."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from ...errors import InputError, plain_number, unknown
from ...registry import Registry, settings_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Optimizer(ABC):
    """A rule that updates the weights from their gradients; a frozen dataclass whose fields are its settings.

    A field takes the value of the training setting of the same name; without one, that in `optimizer_settings`.
    """

    shardable: ClassVar[bool] = True
    """Whether it can update parts of a parameter, so that fsdp may distribute parameters over processes."""

    @abstractmethod
    def build(self, model: "nn.Module", sharded: bool = False) -> "torch.optim.Optimizer":
        """Builds the optimiser of a model.

        Its state may hold only tensors, numbers, and lists and mappings of them (see train/optimizer_state.py). A group
        may hold `lr_ratio`, the ratio of its learning rate to the schedule's, and `step`, its count of steps.

        Args:
            model: the model whose parameters are optimised.
            sharded: whether each process holds a part of every parameter.

        Returns:
            The optimiser.
        """

    def check_installed(self) -> None:
        """Raises InputError if a library that the optimiser needs is missing or too old."""
        return

    @abstractmethod
    def state_size(self, total: int, embeddings: int) -> int:
        """Returns a lower bound of the number of elements in its state.

        Args:
            total: number of parameters of the model.
            embeddings: how many of them are in embeddings.
        """


optimizers: Registry[Optimizer] = Registry("optimizer", __package__ or "")
"""name -> optimiser."""


def decayed_groups(parameters: "Iterable[Tensor]", weight_decay: float) -> list[dict[str, Any]]:
    """Returns two groups of parameters: matrices, which decay, and vectors (biases and norms), which do not."""
    parameters = list(parameters)
    matrices, vectors = ([p for p in parameters if (p.dim() > 1) == wide] for wide in (True, False))
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def matrices_inside(model: "nn.Module") -> "tuple[list[Tensor], list[Tensor]]":
    """Returns the matrices inside a network, and its other parameters: embeddings, positions, norms and biases."""
    from ...models import LanguageModel

    block_of = getattr(model, "parameter_block", LanguageModel.parameter_block)
    parameters = dict(model.named_parameters())
    inside = [name for name, p in parameters.items() if p.dim() == 2 and block_of(name) == "weight"]
    return [parameters[name] for name in inside], [p for name, p in parameters.items() if name not in inside]


def configured(name: str, settings: Mapping[str, Any], more: Mapping[str, Any]) -> Optimizer:
    """Makes an optimiser from the settings of training.

    Args:
        name: the name of an optimiser.
        settings: all settings of training. The optimiser takes those whose name is one of its fields.
        more: `optimizer_settings`, values of the fields for which training has no setting.

    Returns:
        The optimiser with its settings.

    Raises:
        InputError: for an unknown name, for a key in `more` that the optimiser lacks or that is a setting of training,
            and for a wrong value.
    """
    entry = optimizers[name]
    fields = {field.name: field for field in settings_of(entry)}
    own = [field for field in fields if field not in settings]
    for key in more:
        if key in fields and key not in own:
            raise InputError(f"optimizer_settings holds '{key}', which is a setting of training; give {key} itself")
        if key not in own and not own:
            raise InputError(
                f"optimizer_settings holds '{key}', but optimizer '{name}' has no settings of its own; leave it out"
            )
        if key not in own:
            raise InputError(f"optimizer_settings of '{name}': {unknown('key', key, own)}")
    values = {key: settings[key] for key in fields if key in settings}
    return entry(**values, **{key: _typed(key, value, fields[key].type) for key, value in more.items()})


def _typed(name: str, value: Any, declared: Any) -> Any:
    """Converts the value of a setting to its declared type. Raises InputError if that is impossible."""
    kinds, value = get_args(declared) or (declared,), plain_number(value)
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
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false", type(None): "null"}
    return " or ".join(words.get(kind, str(kind)) for kind in kinds)


def wrong(name: str, value: Any, expected: str) -> InputError:
    """Returns the error for a value that a setting in optimizer_settings cannot have."""
    return InputError(f"optimizer_settings: {name} is '{value}', expected {expected}; correct it")


def is_positive(value: float) -> bool:
    """Whether a number is positive and finite."""
    return 0 < value < math.inf
