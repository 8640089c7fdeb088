"""Recipes: named sets of training settings that go together."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from ..errors import InputError
from ..models.names import parse_name
from ..registry import Registry
from ..spec import parse_spec


class Recipe(ABC):
    """A way of training. An entry is a frozen dataclass.

    Attributes:
        fixed: the settings that define the recipe. They cannot be given another value; all other settings of the recipe
            are defaults.
    """

    fixed: ClassVar[tuple[str, ...]]

    @abstractmethod
    def settings(self, width: int) -> dict[str, Any]:
        """Returns the training settings of the recipe.

        Args:
            width: the width of the model.

        Returns:
            Name of a setting of `TrainConfig` -> value; omitted settings keep their defaults.
        """


recipes: Registry[Recipe] = Registry("recipe", __name__)
"""name -> recipe."""


def with_recipe(name: str, model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe, with the given settings in place of its defaults.

    Args:
        name: the name of the recipe.
        model: the model's name; the rates of some recipes depend on its width.
        given: training settings, which replace the recipe's defaults.

    Returns:
        Name of a setting -> value.

    Raises:
        InputError: for an unknown recipe, and for a given setting that contradicts it.
    """
    recipe = parse_spec(name, recipes)
    stated = recipe.settings(int(parse_name(model).size.get("width", REFERENCE)))
    for setting in recipe.fixed:
        if setting in given and given[setting] != stated[setting]:
            raise InputError(
                f"{setting} is '{given[setting]}' with recipe '{name}', which stands for '{stated[setting]}'; leave "
                "one of the two out"
            )
    return stated | dict(given)


REFERENCE = 64
"""The width to which the rates of `Fast` refer."""


@recipes.register("fast")
@dataclass(frozen=True)
class Fast(Recipe):
    """To saturation in the fewest steps: exact targets, Muon for the matrices, and a rate that decays late.

    Exact targets have no label noise, so a high rate and a small batch suffice. Rates fall with the square root of the
    width: 0.008 sqrt(64 / width) for matrices, 0.4 times that for all other parameters.
    """

    fixed: ClassVar[tuple[str, ...]] = ("targets", "optimizer", "schedule")

    @override
    def settings(self, width: int) -> dict[str, Any]:
        rate = round(0.008 * math.sqrt(REFERENCE / width), 6)
        return {
            "targets": "exact",
            "optimizer": "muon",
            "optimizer_settings": {"matrix_lr": rate},
            "lr": round(0.4 * rate, 6),
            "schedule": "wsd:decay=0.5",
            "warmup": 0.05,
            "weight_decay": 0.0,
            "steps": 2000,
            "batch_size": 128,
            "evaluate_every": 100,
        }


@recipes.register("liu2022")
@dataclass(frozen=True)
class Liu2022(Recipe):
    """AdamW as in Liu et al. 2022, A.3: batches of 4,096, rate 1e-3 after a warm-up over 6 % of the steps."""

    fixed: ClassVar[tuple[str, ...]] = ("targets", "optimizer", "schedule")

    @override
    def settings(self, width: int) -> dict[str, Any]:
        return {
            "targets": "sampled",
            "optimizer": "adamw",
            "lr": 1e-3,
            "schedule": "constant",
            "warmup": 0.06,
            "betas": (0.9, 0.98),
            "eps": 1e-6,
            "weight_decay": 0.01,
            "batch_size": 4096,
        }


@recipes.register("liu2022-sgd")
@dataclass(frozen=True)
class Liu2022SGD(Recipe):
    """SGD as in Liu et al. 2022, B.2: batches of 4,096, rate 1e-3 after a warm-up over half of the steps."""

    fixed: ClassVar[tuple[str, ...]] = ("targets", "optimizer", "schedule")

    @override
    def settings(self, width: int) -> dict[str, Any]:
        return {
            "targets": "sampled",
            "optimizer": "sgd",
            "lr": 1e-3,
            "schedule": "constant",
            "warmup": 0.5,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "batch_size": 4096,
        }
