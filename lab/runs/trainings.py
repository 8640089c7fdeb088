"""Finds runs that are the same training: one directory under two names, or a copy.

If copies counted as independent trainings, every error and interval over runs would be too small. Two runs are the same
training if they have the same settings and seed, and the same metrics, or the same weights, at all common steps.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ...errors import InputError
from ...models.files import WEIGHTS
from ...system.sums import sha256, sums_in
from .checkpoints import chosen_checkpoints
from .origin import Origin, split_origin
from .run import Run, load_run

CLOCK = ("seconds", "tokens_per_second")
"""The columns of a row of metrics that differ when a training is repeated."""

MOST_NAMED = 4
"""The most trainings, or copies of one, that a notice names."""


def distinct(runs: list[Run]) -> list[Run]:
    """Each training once, in the order of its first run: the run with the most steps, with the others as its copies."""
    groups: list[list[Run]] = []
    for run in runs:
        mine = next((group for group in groups if any(same_training(run, other) for other in group)), None)
        if mine is None:
            groups.append([run])
        else:
            mine.append(run)
    return [group[0] if len(group) == 1 else _with_copies(group) for group in groups]


def _with_copies(group: list[Run]) -> Run:
    kept = max(group, key=lambda run: max((row["step"] for row in run.metrics), default=0))
    return replace(kept, copies=tuple(run.folder for run in group if run is not kept))


def same_training(one: Run, other: Run) -> bool:
    """Whether two runs are the same directory or copies, even if one was trained further."""
    if one.folder.resolve() == other.folder.resolve():
        return True
    if settings_of(one) != settings_of(other):
        return False
    return _agree(_metrics(one), _metrics(other)) or _agree(_weights(one), _weights(other))


def settings_of(run: Run) -> str:
    """The settings of a run as JSON, without its paths and without its distribution over processes."""
    train = {key: value for key, value in asdict(run.config).items() if key != "sharding"}
    corpus = None if run.corpus is None else run.corpus.sha256
    told: list[Any] = [run.model, run.fingerprint, corpus, train]
    if run.origin is not None:
        told += [run.origin.root, run.origin.phase, run.origin.weights_sha256]
    return json.dumps(told, sort_keys=True, default=str)


def root_of(run: Run) -> str:
    """The digest of the settings of the first phase of a run's training.

    Args:
        run: the run.

    Returns:
        The digest. Runs with the same root share their first phase, so they count as one independent training.
    """
    if run.origin is not None:
        return str(run.origin.root)
    return hashlib.sha256(settings_of(run).encode()).hexdigest()[:16]


def origin_of(run: Run, step: int | None) -> Origin:
    """The origin for a new run that begins with the weights of this one.

    Args:
        run: the run.
        step: the step of its checkpoint; None for the last.

    Returns:
        The origin, with the digest of the weights.

    Raises:
        InputError: if there is no such checkpoint.
    """
    at, folder = chosen_checkpoints(run, step)[-1]
    return Origin(str(run.folder.resolve()), phase_after(run), at, sha256(folder / WEIGHTS), root_of(run))


def phase_after(run: Run) -> int:
    """The number of phases of training before a run that begins with the weights of this one."""
    return 1 + (run.origin.phase if run.origin is not None else 0)


def origin_in(text: str, source: Any, max_length: int | None) -> tuple[Origin, Run]:
    """The origin that a command names for a new run.

    Args:
        text: RUN or RUN:STEP.
        source: the language of the new run; see `load_language`.
        max_length: replaces the language's own.

    Returns:
        The origin, and its run.

    Raises:
        InputError: if there is no such run or checkpoint, or if it is of another language.
    """
    from ...generators import load_language

    folder, step = split_origin(text)
    run, language = load_run(folder), load_language(source, max_length)
    if run.language.fingerprint() != language.fingerprint() or run.language.max_length != language.max_length:
        there, here = (f"max_length {its.max_length}" for its in (run.language, language))
        raise InputError(
            f"--from {folder} was trained on {run.source}, {there}, and this run is on {source}, {here}, expected the "
            "same language; give that one"
        )
    return origin_of(run, step), run


def _agree(one: Mapping[int, str], other: Mapping[int, str]) -> bool:
    common = one.keys() & other.keys()
    return bool(common) and all(one[step] == other[step] for step in common)


def _metrics(run: Run) -> dict[int, str]:
    """step -> its row as JSON, without CLOCK."""
    rows = ({key: value for key, value in row.items() if key not in CLOCK} for row in run.metrics)
    return {row["step"]: json.dumps(row, sort_keys=True) for row in rows}


def _weights(run: Run) -> dict[int, str]:
    """step -> the digest of the checkpoint's weights, if it is recorded."""
    digests = {step: sums_in(folder).get(WEIGHTS) for step, folder in run.checkpoints}
    return {step: digest for step, digest in digests.items() if digest is not None}


def said_of_copies(runs: list[Run]) -> list[str]:
    """A line that names the trainings that were given more than once; no line if there are none."""
    found = [run for run in runs if run.copies]
    if not found:
        return []
    listed = [f"{run.folder} ({_others(run)})" for run in found]
    return [f"copies of one training are counted once: {', '.join(listed[:MOST_NAMED])}{_more(found)}"]


def _others(run: Run) -> str:
    """The other directories of a training, or "given again" for the same one."""
    others = [str(place) for place in dict.fromkeys(run.copies) if str(place) != str(run.folder)]
    return f"also {', '.join(others[:MOST_NAMED])}{_more(others)}" if others else "given again"


def _more(found: Any) -> str:
    return f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""


def rows_of_training(run: Run) -> list[dict[str, Any]]:
    """The measurements of a run and its copies. If several have the same measurement, the first one's rows count."""
    rows, seen = [], set()
    for folder in (run.folder, *run.copies):
        mine = [(_measurement(row), row) for row in replace(run, folder=folder).results]
        rows += [row for key, row in mine if key not in seen]
        seen |= {key for key, _ in mine}
    # Two processes that measured the same thing at the same time have left it twice.
    return list({json.dumps({k: v for k, v in row.items() if k != "seconds"}): row for row in rows}.values())


def _measurement(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("step", "what", "method", "task", "block", "settings", "layer", "position", "language_fingerprint")
    return tuple(row.get(name) for name in names)
