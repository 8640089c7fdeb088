"""Checks theorems on a run's checkpoints. Each link gives one row, with both of its sides."""

import json
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path

from ...models import load_model
from ...spec import parse_spec
from ...theory import Subject, Theorem, theorems
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import RESULTS, Run
from .measure import Row, key_of, measured, size_of, values_of


def theorem_of(spec: str) -> Theorem:
    """The theorem with the given name and settings, such as "bartlett:contexts=200".

    Args:
        spec: NAME or NAME:setting=value,...

    Returns:
        The theorem.

    Raises:
        InputError: for an unknown theorem or setting, suggesting the nearest name.
    """
    return parse_spec(spec, theorems)


def measure_theorem(run: Run, spec: str, seed: int = 0, step: int | None = None) -> Iterator[Row]:
    """Measures both sides of each link of a theorem on each checkpoint.

    In a row, `block` is the link, `value` and `stderr` the left side, `right` and `right_stderr` the right side,
    `relation` "=" or "<=", `slack` the deviation that rounding or sampling allows, and `holds` the verdict.

    Args:
        run: a run with checkpoints.
        spec: the theorem with its settings; see `theorem_of`.
        seed: the seed of sentences and random vectors.
        step: the step of one checkpoint; all checkpoints unless given.

    Yields:
        The rows. Those that results.jsonl already has are not measured again.

    Raises:
        InputError: as `theorem_of` does, and for a model to which the theorem does not apply.
    """
    theorem = theorem_of(spec)
    assert is_dataclass(theorem)
    settings = json.dumps(asdict(theorem) | {"seed": seed}, sort_keys=True)
    for at, folder in chosen_checkpoints(run, step):
        key = key_of(run, at, "theorem", theorems.name_of(theorem), settings)

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder).to(run.language.device)
            subject = Subject(model, run.language, run.config.masking or "one", seed)
            for link in theorem.check(subject):
                right = values_of(link.right)
                verdict = {"relation": link.relation, "slack": link.slack, "holds": link.holds}
                sides = {"right": right["value"], "right_stderr": right["stderr"]} | verdict
                yield values_of(link.left) | size_of(model) | {"block": link.name, "unit": link.unit} | sides

        yield from measured(run.folder / RESULTS, key, take)
