"""Sentences about flatness and accuracy at equal KL."""

import math
from typing import Any

from .bootstrap import LEAST_GROUPS
from .comparison import ALL, SATURATED
from .matched import ACROSS_SIZES, ALL_PAIRS, GAIN, GIVEN, LOWER, PAIRS, SHARE, STRATA
from .matching import MatchConfig, by_probe, pairs_of
from .row_selection import panel_name

Row = dict[str, Any]

NONE = "no two checkpoints of different runs agree in KL, so flatness and accuracy are not compared at the same KL"


def in_words(rows: list[Row], panel: str) -> list[str]:
    """The numbers of a task's probe as sentences.

    Args:
        rows: as `matched_of` returns them.
        panel: the task and the probe; see `panel_name`.

    Returns:
        Sentences on the saturated pairs, on all pairs, on the strata, and on how to read them; one sentence if no pair
        agrees; none if there is only one run.
    """
    mine = [row for row in rows if panel_name(row["task"], row["probe"]) == panel]
    if not mine:
        return []
    if not any(row["pairs"] for row in mine):
        return [f"{NONE[0].upper()}{NONE[1:]}{_imprecise(mine[0]['imprecise'])}."]
    said, before = [], 0
    for among in (SATURATED, ALL):
        part = [row for row in mine if (row["by"], row["among"]) == (PAIRS, among)]
        if part[0]["pairs"] > before:
            said += _pairs(part)
            before = part[0]["pairs"]
    said += _strata([row for row in mine if row["by"] == STRATA and row["pairs"]])
    return [
        *said,
        rule(mine[0]) + f" In brackets: 95 % bootstrap interval over runs, none of fewer than {LEAST_GROUPS}.",
    ]


def rule(row: Row) -> str:
    """A sentence that states when two KL agree."""
    return f"Two KL agree within {row['z']:g} standard errors or {100 * row['tolerance']:g} % of their mean."


def said_of_unmatched(points: list[Row], config: MatchConfig | None = None) -> list[str]:
    """One line if no two checkpoints of different runs agree in KL; none if some do, or if there is only one run.

    Args:
        points: as `points_of` returns them.
        config: when two KL agree.

    Returns:
        The line, without the initial capital of a sentence.
    """
    measured = [point for point in points if point["trace"] is not None]
    found = [pairs_of(mine, config or MatchConfig()) for mine in by_probe(measured).values()]
    if len({point["run"] for point in measured}) < 2 or any(len(pairs.gain) for pairs in found):
        return []
    return [NONE + _imprecise(max(pairs.imprecise for pairs in found))]


def _imprecise(count: int) -> str:
    if not count:
        return ""
    return f" ({count} pairs might, but their KL is not known well enough: satlab evaluate with more --sentences)"


def _pairs(rows: list[Row]) -> list[str]:
    """Two to four sentences about the saturated pairs, or about all pairs, in at most two texts."""
    found = {(row["of"], row["statistic"]): row for row in rows}
    whole = found[ALL_PAIRS, SHARE]
    among = "Saturated checkpoints" if whole["among"] == SATURATED else "All checkpoints"
    few = "" if whole["runs"] >= LEAST_GROUPS else ", too few for an interval"
    head = f"{among} of the same KL: {_counted(whole)}{few}"
    share = f"the flatter one is the more accurate one in {_shown(whole)} of them (0.5: no relation)"
    lower = f"has the lower KL in {_shown(found[ALL_PAIRS, LOWER])}"
    gain, given = (_shown(found[ALL_PAIRS, name], "+") for name in (GAIN, GIVEN))
    halving = f"Halving Tr(H) goes with {gain} in accuracy, or {given} given the remaining difference of KL."
    said = [f"{head}; {share} and {lower}. {halving}"]
    parts = [row for row in rows if row["statistic"] == SHARE and row["of"] != ALL_PAIRS]
    if parts:
        listed = [f"{row['of']} {_shown(row)} ({_counted(row)})" for row in parts]
        said.append(f"Of these: {'; '.join(listed)}.")
    if whole["remark"]:
        said[-1] += f" {ACROSS_SIZES[0].upper()}{ACROSS_SIZES[1:]}."
    return said


def _strata(rows: list[Row]) -> list[str]:
    return [
        f"Saturated checkpoints in {row['strata']} strata of KL{'' if row['of'] == ALL_PAIRS else ', ' + row['of']}: "
        f"Kendall's tau of Tr(H) with accuracy {_shown(row)}, {_counted(row)}."
        for row in rows
    ]


def _counted(row: Row) -> str:
    return f"n = {row['pairs']} pair{'s' if row['pairs'] != 1 else ''} of {row['runs']} runs"


def _shown(row: Row, sign: str = "") -> str:
    """The value with its interval, with two decimal places, or four if all numbers are below 0.1."""
    if math.isnan(row["value"]):
        return "no value"
    ends = [] if row["low"] is None else [row["low"], row["high"]]
    largest = max(abs(number) for number in [row["value"], *ends])
    places = 2 if largest >= 0.1 else 4
    texts = [f"{number:{sign}.{places}f}" for number in [row["value"], *ends]]
    return texts[0] + (f" [{', '.join(texts[1:])}]" if ends else "")
