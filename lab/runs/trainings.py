"""Which runs are one training: a directory under two names, links to it and copies of it.

Copies that were counted as independent trainings would narrow every error and interval over runs. They are told by what
training leaves: the same settings and seed, and the same metrics, or the same weights, at every step that both have.
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
"""What of a row of metrics differs from one training to its repetition."""

MOST_NAMED = 4
"""Trainings that a notice names."""


def distinct(runs: list[Run]) -> list[Run]:
    """Each training once, in the order of the first run of each: the one that went furthest, the others its copies."""
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
    """Whether two runs are one directory, or one a copy of the other, also where one of the two went on."""
    if one.folder.resolve() == other.folder.resolve():
        return True
    if settings_of(one) != settings_of(other):
        return False
    return _agree(_metrics(one), _metrics(other)) or _agree(_weights(one), _weights(other))


def settings_of(run: Run) -> str:
    """What a run was told, but for where it and what it reads lie and how it was spread over processes."""
    train = {key: value for key, value in asdict(run.config).items() if key != "sharding"}
    corpus = None if run.corpus is None else run.corpus.sha256
    told: list[Any] = [run.model, run.fingerprint, corpus, train]
    if run.origin is not None:
        told += [run.origin.root, run.origin.phase, run.origin.weights_sha256]
    return json.dumps(told, sort_keys=True, default=str)


def root_of(run: Run) -> str:
    """The digest of what the first phase of a run's training was told.

    Args:
        run: the run.

    Returns:
        The digest. Runs of one root share the way to their first weights: they are one independent training, not
        several.
    """
    if run.origin is not None:
        return str(run.origin.root)
    return hashlib.sha256(settings_of(run).encode()).hexdigest()[:16]


def origin_of(run: Run, step: int | None) -> Origin:
    """The origin of a run that is to begin with the weights of this one.

    Args:
        run: the run.
        step: of its checkpoint; None for the last.

    Returns:
        The origin, with the digest of the weights.

    Raises:
        InputError: where there is no such checkpoint.
    """
    at, folder = chosen_checkpoints(run, step)[-1]
    return Origin(str(run.folder.resolve()), phase_after(run), at, sha256(folder / WEIGHTS), root_of(run))


def phase_after(run: Run) -> int:
    """How many phases of training come before a run that begins with the weights of this one."""
    return 1 + (run.origin.phase if run.origin is not None else 0)


def origin_in(text: str, source: Any, max_length: int | None) -> tuple[Origin, Run]:
    """The origin of a run on a language, as a command names it.

    Args:
        text: RUN or RUN:STEP.
        source: the language of the run that is to begin; see `load_language`.
        max_length: replaces the language's own.

    Returns:
        The origin, and its run.

    Raises:
        InputError: where there is no such run or checkpoint, and where it is of another language.
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
    """step -> its row, but for what the clock says."""
    rows = ({key: value for key, value in row.items() if key not in CLOCK} for row in run.metrics)
    return {row["step"]: json.dumps(row, sort_keys=True) for row in rows}


def _weights(run: Run) -> dict[int, str]:
    """step -> the digest of the checkpoint's weights, where it was written down."""
    digests = {step: sums_in(folder).get(WEIGHTS) for step, folder in run.checkpoints}
    return {step: digest for step, digest in digests.items() if digest is not None}


def said_of_copies(runs: list[Run]) -> list[str]:
    """That some trainings were given more than once, and which, a line; none where each was given once."""
    found = [run for run in runs if run.copies]
    if not found:
        return []
    listed = [f"{run.folder} ({_others(run)})" for run in found]
    return [f"copies of one training are counted once: {', '.join(listed[:MOST_NAMED])}{_more(found)}"]


def _others(run: Run) -> str:
    """The other places of a training, or that its own was given again."""
    others = [str(place) for place in dict.fromkeys(run.copies) if str(place) != str(run.folder)]
    return f"also {', '.join(others[:MOST_NAMED])}{_more(others)}" if others else "given again"


def _more(found: Any) -> str:
    return f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""


def rows_of_training(run: Run) -> list[dict[str, Any]]:
    """What was measured on a run and on its copies, each measurement once: what several have is the first one's."""
    rows, seen = [], set()
    for folder in (run.folder, *run.copies):
        mine = [(_measurement(row), row) for row in replace(run, folder=folder).results]
        rows += [row for key, row in mine if key not in seen]
        seen |= {key for key, _ in mine}
    # Two processes that measured the same at once left it twice, before they looked at one another's rows.
    return list({json.dumps({k: v for k, v in row.items() if k != "seconds"}): row for row in rows}.values())


def _measurement(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("step", "what", "method", "task", "block", "settings", "layer", "position", "language_fingerprint")
    return tuple(row.get(name) for name in names)
