"""Print what runs and studies have recorded, a JSON line for each checkpoint and probe; no model is loaded.

With --matched: the relation of flatness and accuracy at equal KL, over pairs of checkpoints of different runs.
With --pairs: these pairs. The settings say when the KL of two checkpoints agrees.
"""

import math
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..arguments import Arguments, Given, settings_of

NO_PAIRS = (
    "no pairs, expected checkpoints of two different runs with KL, Tr(H) and an accuracy on the same task; name more "
    "runs, or measure what is missing"
)


NO_PROBES = (
    "no probe recorded, expected one at least, since a line stands for a checkpoint and a probe; run satlab probe"
)


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab table`."""
    arguments.add_argument("directories", many=True, help="runs or studies")
    arguments.add_flag("--matched", help="flatness and accuracy at the same KL, with 95 % intervals over runs")
    arguments.add_flag("--pairs", help="the pairs of checkpoints whose KL agrees")
    arguments.add_settings("lab.analysis.matching", "MatchConfig")


def run(given: Given) -> None:
    """Prints the rows.

    Raises:
        InputError: for --matched together with --pairs, and for one of their settings without either.
    """
    from ...analysis.checkpoint_table import points_of, recorded
    from ...analysis.matched import matched_of
    from ...analysis.matched_words import said_of_unmatched
    from ...analysis.matching import MatchConfig, by_probe, pairs_of, rows_of_pairs
    from ...analysis.notices import notices_of
    from ...analysis.row_selection import one_setting
    from ..output import print_row, warn_of

    if given.matched and given.pairs:
        raise InputError("--matched together with --pairs: expected one of the two; leave one out")
    if given.settings and not (given.matched or given.pairs):
        name = next(iter(given.settings))
        raise InputError(f"--{name} needs --matched or --pairs; add one, or leave it out")
    config = settings_of(MatchConfig, given)
    runs, rows = recorded([Path(folder) for folder in given.directories])
    points = points_of(runs, one_setting(rows))
    notices, found = notices_of(runs, rows, config), points
    if given.matched:
        found = matched_of(points, config)
    elif given.pairs:
        found = [row for mine in by_probe(points).values() for row in rows_of_pairs(pairs_of(mine, config))]
    if not points and any(row["step"] is not None for row in rows):
        notices.append(NO_PROBES)
    if points and not found and not said_of_unmatched(points, config):
        notices.append(NO_PAIRS)
    warn_of(notices)
    for row in found:
        print_row({key: _json(value) for key, value in row.items()})


def _json(value: Any) -> Any:
    """The value; null for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
