"""What head and prompt tuning can achieve in a language with a perfect network: conditions, and heads on the truth."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, at_least
from ...estimate import Estimate
from ...generators import Language, load_language
from ...generators.load import PRESETS, preset_names
from ...generators.tasks import Task, find_task
from ...probes.tuning.ideal import with_weights
from ...system.yaml_files import read_yaml
from ...theory.conditions import chain_of, conditions
from ...theory.tuning_oracle import Oracle
from .measure import values_of

Row = dict[str, Any]

HEAD, FIRST, BETWEEN = "head", "prompt-mask-text", "mask-prompt-text"
PROMPTS = (FIRST, BETWEEN)
"""The conditions under which a head alone, and a prompt with a head, can be exact."""

PROVIDED = "the state before the text is that at the mask, which takes a uniform pi and a doubly stochastic A"
"""What a prediction supposes where it does not hold exactly."""


def condition_rows(language: Language, task: Task) -> Iterator[Row]:
    """Every condition, and then the prediction that follows from them.

    Args:
        language: an HMM.
        task: its task "posterior".

    Yields:
        A row for each condition, then one for the prediction.

    Raises:
        InputError: for a language or task to which the conditions do not apply.
    """
    chain = chain_of(language, task)
    held: dict[str, bool] = {}
    for name in sorted(conditions, key=lambda name: (conditions[name].order, name)):
        verdict = conditions[name]().check(chain)
        held[name] = verdict.holds
        row = {"task": task.name, "condition": name, "holds": verdict.holds, "margin": verdict.margin}
        row |= {"quantity": verdict.quantity, "value": verdict.value, "least": verdict.least}
        yield row | {"follows": verdict.follows} | dict(verdict.more)
    # Where a head is exact, a prompt before the mask may say nothing. A prompt after the mask is always in between.
    exact = {HEAD: held[HEAD], FIRST: held[FIRST] or held[HEAD], BETWEEN: held[BETWEEN]}
    predicts = {name: "exact" if holds else "inexact" for name, holds in exact.items()}
    yield {"task": task.name, "predicts": predicts, "provided": None if chain.uniform else PROVIDED}


def chains_of(source: str, chains: int, max_length: int | None) -> Iterator[tuple[int | None, Language]]:
    """Languages of a random family that differ only in their seed.

    Args:
        source: a preset's name or a YAML file, whose seed is the first one; for one chain, any language.
        chains: number of languages.
        max_length: replaces the language's own.

    Yields:
        (seed, language). The seed is None if `chains` is 1.

    Raises:
        InputError: for fewer than one chain, and for several chains of a language that is not a random family.
    """
    at_least("chains", chains, 1)
    if chains == 1:
        yield None, load_language(source, max_length)
        return
    path = PRESETS / f"{source}.yaml" if source in preset_names() else Path(source)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise InputError(
            f"chains is {chains} with language '{source}', expected a preset or YAML file of a random family; leave "
            "chains out"
        )
    content = read_yaml(path)
    if "preset" in content and content["preset"] in preset_names():
        content = read_yaml(PRESETS / f"{content.pop('preset')}.yaml") | content
    first = content.get("seed", 0)
    if not isinstance(first, int) or "family" not in content:
        raise InputError(f"{source}: has no family and seed, expected a random family for several chains; leave it out")
    for seed in range(first, first + chains):
        yield seed, load_language(content | {"seed": seed}, max_length)


def oracle_rows(source: str, task_name: str, chains: int, max_length: int | None, oracle: Oracle) -> Iterator[Row]:
    """Accuracies and conditions on the exact truth, for each chain and over the chains.

    Args:
        source: a language; see `chains_of`.
        task_name: its task "posterior".
        chains: number of chains.
        max_length: replaces the language's own length.
        oracle: how accuracies are measured.

    Yields:
        A row for each chain and quantity. With several chains, then one row for each quantity, with mean and median.

    Raises:
        InputError: as `chains_of` does, and for a task that is not a function of a state's posterior.
    """
    found: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    for seed, language in chains_of(source, chains, max_length):
        chain, task = with_weights(language, find_task(language, task_name))
        chain_of(chain, task)  # refused before anything is printed of it
        about: Row = {"language": source, "task": task.name, "chain": seed}
        for name, value in oracle.accuracies(chain, task):
            found.setdefault(name, []).append(value.value)
            units[name] = "accuracy"
            yield about | {"quantity": name} | values_of(value) | {"unit": "accuracy"} | {"settings": asdict(oracle)}
        for name, number, unit in _numbers(chain, task):
            found.setdefault(name, []).append(number)
            units[name] = unit
            yield about | {"quantity": name, "value": number, "stderr": 0.0, "n": 1, "unit": unit}
    if chains > 1:
        for name, values in found.items():
            samples = torch.tensor(values, dtype=torch.float64)
            row: Row = {"language": source, "task": task_name, "chains": chains, "quantity": name}
            more = {"median": float(samples.median()), "unit": units[name]}
            if units[name] == "margin":
                more["share_above_0.05"] = float((samples > 0.05).double().mean())
            yield row | values_of(Estimate.from_samples(samples)) | more


def _numbers(language: Language, task: Task) -> Iterator[tuple[str, float, str]]:
    """(name, value, unit) of the numbers that the conditions compute from a chain."""
    chain = chain_of(language, task)
    yield "least singular value of W", conditions["emission-rank"]().check(chain).value, "singular value"
    head = conditions[HEAD]().check(chain)
    yield "exact head", float(head.holds), "share"
    if head.more["log10_norm"] is not None:
        yield "log10 |b| of the head", head.more["log10_norm"], "digits"
    for name in PROMPTS:
        yield name, conditions[name]().check(chain).value, "margin"
