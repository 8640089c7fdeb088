"""Reads those models of hmmlearn that emit one word at each step, as `HMM` does."""

from typing import Any

import numpy as np

from ...errors import InputError

TABLES = ("startprob_", "transmat_", "emissionprob_")

OTHERS = {
    "n_trials": "the counts of several trials",
    "means_": "real numbers",
    "covars_": "real numbers",
    "lambdas_": "counts",
    "gmms_": "real numbers",
}
"""Attributes of models that emit other values -> the values that these models emit."""


def categorical_tables(model: Any) -> tuple[Any, Any, Any]:
    """The tables of a model that emits one of V words at each step.

    Args:
        model: a CategoricalHMM, a MultinomialHMM with one trial, or any object that has the three tables and none of
            the attributes in OTHERS.

    Returns:
        startprob_ [K], transmat_ [K, K] and emissionprob_ [K, V].

    Raises:
        InputError: for other models, and for a model that has not been fitted.
    """
    name = type(model).__name__
    for attribute, emitted in OTHERS.items():
        if hasattr(model, attribute) and not (attribute == "n_trials" and _one_trial(model.n_trials)):
            raise InputError(_other(name, emitted))
    lineage = type(model).__mro__
    of_hmmlearn = any(kind.__module__.split(".")[0] == "hmmlearn" for kind in lineage)
    known = {"BaseCategoricalHMM", "BaseMultinomialHMM", "CategoricalHMM", "MultinomialHMM"}
    if of_hmmlearn and not known & {kind.__name__ for kind in lineage}:
        raise InputError(_other(name, "something else"))
    missing = [table for table in TABLES if getattr(model, table, None) is None]
    if missing:
        raise InputError(
            f"the hmmlearn model has no probabilities ({missing[0]}), expected a fitted model; fit it first"
        )
    return model.startprob_, model.transmat_, model.emissionprob_


def _one_trial(trials: Any) -> bool:
    """Whether n_trials is one. It may be a number, an array, or None if the data determine it."""
    return trials is not None and bool((np.asarray(trials) == 1).all())


def _other(name: str, emitted: str) -> str:
    expected = "expected a model that emits one word at each step"
    return f"a {name} emits {emitted}, {expected}; fit a CategoricalHMM to the words"
