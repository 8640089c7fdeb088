"""What a study's key of `models` stands for: a model, its training, and the other key whose end it begins with."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...errors import InputError, placed, unknown
from ...models.names import canonical_name, parse_name
from ...train import TrainConfig
from ...train.recipes import with_recipe
from ..reading import STUDY, from_mapping
from .averages import source_of, trained_models
from .config import StudyConfig

MODEL, FROM, RECIPE = "model", "from", "recipe"
"""The keys of an entry that are no settings of training."""


def changes_of(study: StudyConfig, name: str) -> dict[str, Any]:
    """What a key of `models` holds."""
    changes = study.models[name] or {}
    if not isinstance(changes, Mapping):
        raise InputError(
            f"is '{changes}', expected settings such as {{lr: 1.0e-3}}; correct it", STUDY, f"model {name}"
        )
    return dict(changes)


def origin_key(study: StudyConfig, name: str) -> str | None:
    """The key of `models` with whose last weights a key's training begins.

    Args:
        study: its settings.
        name: the key.

    Returns:
        The other key; None where training begins with weights of its own.

    Raises:
        InputError: for a key that does not exist, and for one that begins with itself, by whatever way.
    """
    origin = _origin(study, name)
    seen, now = [name], origin
    while now is not None:
        if now in seen:
            way = " from ".join([*seen, now])
            raise InputError(f"begins with itself ({way}), expected another model; correct it", *_place(name))
        seen.append(now)
        now = _origin(study, now)
    return origin


def _origin(study: StudyConfig, name: str) -> str | None:
    origin = changes_of(study, name).get(FROM)
    trained = trained_models(study)
    if origin is None or (isinstance(origin, str) and origin in trained):
        return origin
    with placed(*_place(name)):
        raise unknown("from", str(origin), trained)


def model_of(study: StudyConfig, name: str) -> str:
    """The model that a key of `models` stands for.

    Args:
        study: its settings.
        name: the key.

    Returns:
        That of the key which it averages; else what is under its key `model`, else the model of the key that it begins
        with, else the key itself.

    Raises:
        InputError: for a model that does not exist, or another one than it begins with.
    """
    name = source_of(study, name) or name
    changes, origin = changes_of(study, name), origin_key(study, name)
    model = changes.get(MODEL, name if origin is None else model_of(study, origin))
    if not isinstance(model, str):
        raise InputError(f"model is '{model}', expected a model such as bert-1x64; correct it", *_place(name))
    own_name = MODEL not in changes and origin is None
    hint = f"; or give a model such as bert-1x64 under the key '{MODEL}'" if own_name else ""
    try:
        parse_name(model)
    except InputError as error:
        raise InputError(error.said + hint, *_place(name), *error.place) from None
    if origin is not None and canonical_name(model) != canonical_name(model_of(study, origin)):
        there = model_of(study, origin)
        said = f"model is '{model}' from '{origin}', which is '{there}', expected the same; leave the model out"
        raise InputError(said, *_place(name))
    return model


def train_config(study: StudyConfig, name: str, seed: int) -> TrainConfig:
    """The training of a key of `models`.

    What comes later replaces what came before: the recipe of the study, the study's `train`, a recipe that the key
    itself names, the key's other settings.

    Args:
        study: the study.
        name: a key of its `models`.
        seed: of the training.

    Returns:
        The configuration.

    Raises:
        InputError: for settings that do not exist or do not go together, and a recipe that they contradict.
    """
    changes = changes_of(study, name)
    for key in (MODEL, FROM):
        changes.pop(key, None)
    if "seed" in changes:
        raise InputError("has a seed of its own, expected the study's seeds; list it there", *_place(name))
    own = RECIPE in changes
    recipe = changes.pop(RECIPE, study.recipe if origin_key(study, name) is None else None)
    if recipe is not None and not isinstance(recipe, str):
        raise InputError(f"recipe is '{recipe}', expected a name such as fast; correct it", *_place(name))
    with placed(*_place(name)):
        if recipe is None:
            values = asdict(study.train) | changes
        else:
            defaults = asdict(TrainConfig())
            given = {key: value for key, value in asdict(study.train).items() if value != defaults[key]}
            values = given | with_recipe(recipe, model_of(study, name), changes if own else given | changes)
    return from_mapping(TrainConfig, values | {"seed": seed}, *_place(name))


def _place(name: str) -> tuple[str, str]:
    return STUDY, f"model {name}"
