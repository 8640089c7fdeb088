"""The section of a report on flatness and accuracy at equal KL."""

from typing import Any

from ..analysis.matched import matched_of
from ..analysis.matched_words import in_words
from ..analysis.matching import MatchConfig, by_probe, pairs_of, rows_of_pairs
from ..analysis.row_selection import panel_name

Row = dict[str, Any]

MOST_PAIRS = 1000
"""The most pairs that the page draws in a panel: browsers are slow with more. figures/matched-TASK.csv has all."""

PAIR = (
    *("flatter", "flatter_step", "flatter_kl", "flatter_trace", "flatter_accuracy"),
    *("sharper", "sharper_step", "sharper_kl", "sharper_trace", "sharper_accuracy"),
    *("halvings", "halvings_stderr", "gain", "gain_stderr", "same_model", "saturated"),
)


def matched_section(points: list[Row]) -> Row:
    """The numbers, sentences and pairs of the section.

    Args:
        points: the points that `points_of` returns.

    Returns:
        A mapping with `rows`, which `matched_of` returns, and `panels`, one mapping for each task and probe in these
        rows: task (the panel's name), words (a text), pairs (at most MOST_PAIRS, evenly chosen), count (of all pairs).
    """
    rows, panels = matched_of(points), []
    shown = {(row["task"], row["probe"]) for row in rows}
    for (task, probe), mine in by_probe(points).items():
        if (task, probe) not in shown:
            continue
        pairs = [{key: row[key] for key in PAIR} for row in rows_of_pairs(pairs_of(mine, MatchConfig()))]
        name = panel_name(task, probe)
        drawn = pairs[:: max(1, -(-len(pairs) // MOST_PAIRS))]
        panels.append({"task": name, "words": in_words(rows, name), "pairs": drawn, "count": len(pairs)})
    return {"rows": rows, "panels": panels}
