"""Which of hmmlearn's models emit one word at each step, as an HMM here does."""

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
"""What a model has that emits something else -> what that is."""


def categorical_tables(model: Any) -> tuple[Any, Any, Any]:
    """startprob_, transmat_ and emissionprob_ of a model that emits one of V words at each step.

    That is a CategoricalHMM, a MultinomialHMM of one trial, and any object with these three that says of nothing else
    that it emits it. Raises InputError for all others, and for a model that has no probabilities yet.
    """
    name = type(model).__name__
    for attribute, emitted in OTHERS.items():
        if hasattr(model, attribute) and not (attribute == "n_trials" and _one_trial(model.n_trials)):
            raise _other(name, emitted)
    lineage = type(model).__mro__
    of_hmmlearn = any(kind.__module__.split(".")[0] == "hmmlearn" for kind in lineage)
    known = {"BaseCategoricalHMM", "BaseMultinomialHMM", "CategoricalHMM", "MultinomialHMM"}
    if of_hmmlearn and not known & {kind.__name__ for kind in lineage}:
        raise _other(name, "something else")
    missing = [table for table in TABLES if getattr(model, table, None) is None]
    if missing:
        raise InputError(f"the hmmlearn model has no probabilities ({missing[0]}): expected a fitted one; fit it")
    return model.startprob_, model.transmat_, model.emissionprob_


def _one_trial(trials: Any) -> bool:
    """n_trials is a number, one a sample, or None where the data are to tell."""
    return trials is not None and bool((np.asarray(trials) == 1).all())


def _other(name: str, emitted: str) -> InputError:
    return InputError(
        f"a {name} emits {emitted}, expected a model that emits one word at each step; fit a CategoricalHMM to the words"
    )
