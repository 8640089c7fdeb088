"""Warnings for readers of figures and reports: mixed versions, unsaturated models, rows left out."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..runs.run import Run
from ..runs.trainings import said_of_copies
from .checkpoint_table import ends_saturated, is_saturated, kl_by_step, points_of, versions_of
from .matched_words import said_of_unmatched
from .matching import MatchConfig
from .results import named
from .row_selection import left_out, one_setting

Row = dict[str, Any]

MOST_NAMED = 4
"""The most runs or checkpoints that a notice names."""


def notices_of(runs: list[Run], rows: list[Row], config: MatchConfig | None = None) -> list[str]:
    """Warnings for readers of the results.

    Args:
        runs: the runs.
        rows: all rows of the runs, before `one_setting` selects some.
        config: when the KL of two checkpoints agrees.

    Returns:
        One line for each warning.
    """
    said = said_of_copies(runs) + said_of_versions(rows)
    shown = one_setting(rows)
    here = {name: [row for row in shown if row["run"] == name] for name in named(runs)}
    unsaturated = [name for name, run in named(runs).items() if not ends_saturated(run, here[name])]
    if unsaturated:
        listed = [_shown(name, named(runs)[name], here[name]) for name in unsaturated[:MOST_NAMED]]
        more = f" and {len(unsaturated) - MOST_NAMED} more" if len(unsaturated) > MOST_NAMED else ""
        said.append(f"not saturated at the last step, so their losses differ: {', '.join(listed)}{more}; train longer")
    said += said_of_unmatched(points_of(runs, shown), config)
    if hidden := left_out(rows):
        said.append(
            f"{hidden} measurement{'s' if hidden > 1 else ''} not drawn: figures show one method and setting of each "
            "kind (which covers the most checkpoints, then has the most data), of final features and all words; "
            "all are in results.jsonl"
        )
    if not any(row["step"] is not None for row in shown):
        said.append("nothing measured yet: satlab evaluate, probe and flatness measure a run's checkpoints")
    return said


def said_of_checkpoints(run: Run, steps: Iterable[int]) -> list[str]:
    """A line that names the checkpoints that are not saturated, and so have another loss; no line if all are."""
    kl, threshold = kl_by_step(run, run.results), run.config.threshold
    wrong = [step for step in steps if not is_saturated(kl.get(step), threshold)]
    if not wrong:
        return []
    listed = ", ".join(
        f"step {step} (KL {kl[step]['kl']:.4g} +- {kl[step]['kl_stderr']:.2g})"
        if step in kl
        else f"step {step} (no KL yet)"
        for step in wrong[:MOST_NAMED]
    )
    more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    said = f"not saturated, so their loss differs from that of others: {listed}{more}, threshold {threshold:g}"
    return [f"{said}; compare them with care, or train longer"]


def said_of_versions(rows: list[Row]) -> list[str]:
    """A line that lists the versions of satlab that measured the rows; no line for a single version."""
    if len(versions_of(rows)) < 2:
        return []
    counts = Counter(str(row.get("satlab") or "unknown") for row in rows)
    listed = ", ".join(f"{version}: {count}" for version, count in sorted(counts.items()))
    return [f"measured by different versions of satlab (rows by {listed}), which may not be comparable; measure again"]


def _shown(name: str, run: Run, here: list[Row]) -> str:
    kl = kl_by_step(run, here)
    if not kl:
        return f"{name} (no KL yet)"
    last = kl[max(kl)]
    return f"{name} (KL {last['kl']:.4g} +- {last['kl_stderr']:.2g}, threshold {run.config.threshold:g})"
