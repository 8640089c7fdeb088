"""What figures and tables need to know of the flatness measures and probes behind recorded rows.

It is read off the sources where nothing else has imported the measures or probes, and packages of others add none:
torch, which takes seconds to import, is not loaded for it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..declared import Declared, declared_in, has_plugins

ALWAYS = ("method", "contexts", "seed", "enlarge_to")
"""Settings that name every row of flatness, whatever the measure."""


@dataclass(frozen=True)
class KnownMeasure:
    """A flatness measure.

    Args:
        settings: the names of its settings.
        gauss_newton: whether it estimates the Gauss-Newton trace.
    """

    settings: frozenset[str]
    gauss_newton: bool


@dataclass(frozen=True)
class KnownProbe:
    """A probe.

    Args:
        of_model: whether it is one of the model itself.
        reads_table: whether it also measures the look-up table.
    """

    of_model: bool
    reads_table: bool


def settings_used(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings on which a measure depends; all of them where the name is no known flatness measure."""
    known = _measures().get(method)
    if known is None:
        return dict(settings)
    return {name: value for name, value in settings.items() if name in ALWAYS or name in known.settings}


def is_flatness_measure(method: str) -> bool:
    """Whether this name is registered for a measure of flatness."""
    return method in _measures()


def estimates_gauss_newton(method: str) -> bool:
    """Whether a measure estimates the Gauss-Newton trace, which is the Hessian's where the model equals the truth."""
    return method in _measures() and _measures()[method].gauss_newton


def is_model_probe(method: str) -> bool:
    """Whether this name is registered for a probe of the model itself."""
    return method in _probes() and _probes()[method].of_model


def reads_table(method: str) -> bool:
    """Whether the look-up table beside this probe is measured by the probe itself, as unknown ones are taken to be."""
    return method not in _probes() or _probes()[method].reads_table


def probe_names() -> list[str]:
    """The names of all probes, feature probes first."""
    return sorted(_probes(), key=lambda name: (_probes()[name].of_model, name))


def _measures() -> dict[str, KnownMeasure]:
    """The name of each flatness measure -> what is known of it."""
    read = _read("flatness.estimators") if _may_read("satlab.flatness.measure") else None
    if read is not None:
        return {name: KnownMeasure(one.settings, one.flags.get("gauss_newton") is True) for name, one in read.items()}
    from ...flatness import flatness_measures
    from ...registry import settings_of

    return {
        name: KnownMeasure(frozenset(setting.name for setting in settings_of(one)), one.gauss_newton)
        for name, one in flatness_measures.items()
    }


def _probes() -> dict[str, KnownProbe]:
    """The name of each probe -> what is known of it."""
    read = _read("probes") if _may_read("satlab.probes.method") else None
    if read is not None:
        of_model = {name: "ModelProbe" in one.bases for name, one in read.items()}
        own = {name: not of_model[name] or one.flags.get("reads_table") is True for name, one in read.items()}
        return {name: KnownProbe(of_model[name], own[name]) for name in read}
    from ...probes import is_model_probe, probe_methods, reads_table

    return {name: KnownProbe(is_model_probe(name), reads_table(name)) for name in probe_methods}


def _may_read(module: str) -> bool:
    """Whether the sources tell all: nobody can have registered more."""
    return module not in sys.modules and not _extended()


@cache
def _extended() -> bool:
    return has_plugins()


@cache
def _read(package: str) -> dict[str, Declared] | None:
    try:
        return declared_in(package)
    except (OSError, SyntaxError):
        return None
