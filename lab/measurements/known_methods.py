"""Facts about flatness measures and probes that figures and tables need to interpret recorded rows.

If the measures and probes have not been imported, and no other installed package registers any, the facts are read from
the source files. This avoids the import of torch, which takes seconds.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..declared import Declared, declared_in, has_plugins

ALWAYS = ("method", "contexts", "seed", "enlarge_to")
"""Settings that identify a row of any flatness measure."""


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
        of_model: whether it takes the model itself, as a `ModelProbe`.
        reads_table: whether it can also measure the look-up table.
    """

    of_model: bool
    reads_table: bool


def settings_used(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings on which a measure depends; all settings if the method is not a known flatness measure."""
    known = _measures().get(method)
    if known is None:
        return dict(settings)
    return {name: value for name, value in settings.items() if name in ALWAYS or name in known.settings}


def is_flatness_measure(method: str) -> bool:
    """Whether this is the name of a registered measure of flatness."""
    return method in _measures()


def estimates_gauss_newton(method: str) -> bool:
    """Whether a measure estimates the Gauss-Newton trace, which is the Hessian's if the model equals the truth."""
    return method in _measures() and _measures()[method].gauss_newton


def is_model_probe(method: str) -> bool:
    """Whether this is the name of a registered probe that takes the model itself."""
    return method in _probes() and _probes()[method].of_model


def reads_table(method: str) -> bool:
    """Whether the probe itself measures the look-up table with which it is compared. True for unknown probes."""
    return method not in _probes() or _probes()[method].reads_table


def probe_names() -> list[str]:
    """The names of all probes, feature probes first."""
    return sorted(_probes(), key=lambda name: (_probes()[name].of_model, name))


def _measures() -> dict[str, KnownMeasure]:
    """Name of each flatness measure -> the facts about it."""
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
    """Name of each probe -> the facts about it."""
    read = _read("probes") if _may_read("satlab.probes.method") else None
    if read is not None:
        of_model = {name: "ModelProbe" in one.bases for name, one in read.items()}
        own = {name: not of_model[name] or one.flags.get("reads_table") is True for name, one in read.items()}
        return {name: KnownProbe(of_model[name], own[name]) for name in read}
    from ...probes import is_model_probe, probe_methods, reads_table

    return {name: KnownProbe(is_model_probe(name), reads_table(name)) for name in probe_methods}


def _may_read(module: str) -> bool:
    """Whether the source files list all entries, because nothing can have registered more."""
    return module not in sys.modules and not _extended()


@cache
def _extended() -> bool:
    return has_plugins()


def _read(package: str) -> Mapping[str, Declared] | None:
    try:
        return declared_in(package)
    except (OSError, SyntaxError):
        return None
