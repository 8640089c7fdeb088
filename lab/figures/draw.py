"""Draws the figures of a study from its recorded numbers, without loading a model.

Each figure is a PNG, a PDF and a CSV with the plotted numbers. correlation.csv and matched.csv relate flatness to
accuracy.
"""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...estimate import ONE_SIDED_95
from ...system.disk import write_atomic
from ..analysis.algorithm import ways_of
from ..analysis.checkpoint_table import baselines_of, ends_saturated, points_of, recorded, trained_by
from ..analysis.comparison import CORRELATIONS, correlations_of, in_words
from ..analysis.matched import MATCHED, matched_of
from ..analysis.matching import MatchConfig, pairs_of
from ..analysis.model_table import name_of
from ..analysis.notices import said_of_versions
from ..analysis.rescaling import said_of_rescaling
from ..analysis.results import named, write_csv
from ..analysis.row_selection import described, one_setting, panel_name
from ..file_names import file_parts
from ..fonts import fit_fonts, warn_of_missing
from ..runs.run import Run
from .axes import accuracy_axis, baselines_on, far, log_axis, log_ticks, thinned
from .lettering import brief, looks_of, marked, plain_text, write_below
from .matched import matched_figure
from .next_word import next_word_jobs
from .same_loss import same_loss_figure, same_loss_points

Row = dict[str, Any]
Job = tuple[str, Callable[[], tuple[Figure, list[Row]]]]
"""The name of a figure, and the function that draws it."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
MOST_INSIDE = 6
"""The most names in a legend inside the panel. A longer legend stands outside."""

KEPT_APART = (
    "Bars: one standard error within one training. Hollow: not saturated. Plain Tr(H) compares checkpoints of one "
    "architecture."
)


def draw(folders: list[Path], out: Path) -> list[Path]:
    """Draws all figures that the recorded rows allow.

    Args:
        folders: runs or studies.
        out: the directory to write.

    Returns:
        The files.

    Raises:
        InputError: as `recorded` does.
    """
    runs, rows = recorded(folders)
    of_next_word = next_word_jobs(rows)
    rows = one_setting(rows)
    unsaturated = {name for name, run in named(runs).items() if not ends_saturated(run, _of(name, rows))}
    jobs: list[Job] = [("kl_vs_step", partial(_kl, runs, unsaturated))]
    points, groups = points_of(runs, rows), {name: name_of(run) for name, run in named(runs).items()}
    correlations, matched = correlations_of(points), matched_of(points)
    probes = sorted({(point["task"], point["method"]) for point in points})
    ends = file_parts([panel_name(*probe) for probe in probes], out)
    ways = ways_of(named(runs))
    for task, method in probes:
        mine = [point for point in points if (point["task"], point["method"]) == (task, method)]
        panel = panel_name(task, method)
        lines, end, mixed = baselines_of(rows, panel), ends[panel], said_of_versions(rows)
        jobs.append((f"probe_vs_step-{end}", partial(_probe, panel, mine, lines, unsaturated, groups, mixed)))
        if any(point["trace"] is not None for point in mine):
            found = [*in_words(correlations, panel), *said_of_rescaling(rows), *mixed]
            jobs.append((f"flatness_vs_accuracy-{end}", partial(_flatness, panel, mine, lines, unsaturated, found)))
        if equal := same_loss_points(mine, ways):
            its = [row for row in correlations if (row["task"], row["probe"]) == (task, method)]
            jobs.append((f"same_loss-{end}", partial(same_loss_figure, panel, equal, lines, its, mixed)))
        pairs = pairs_of(mine, MatchConfig())
        if len(pairs.gain):
            found_here = [row for row in matched if (row["task"], row["probe"]) == (task, method)]
            jobs.append((f"matched-{end}", partial(matched_figure, panel, pairs, found_here, mixed)))
    written = _written(jobs + of_next_word, out)
    for table, name in ((correlations, CORRELATIONS), (matched, MATCHED)):
        if table:
            write_csv(table, list(table[0]), out / name)
            written.append(out / name)
    return written


def _written(jobs: list[Job], out: Path) -> list[Path]:
    """Draws each figure, and writes it and its numbers."""
    written = []
    missing: set[str] = set()
    out.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        for name, job in jobs:
            figure, numbers = job()
            missing |= fit_fonts(figure)
            written += save_figure(figure, out / name)
            write_csv(numbers, list(numbers[0]), out / f"{name}.csv")
            written.append(out / f"{name}.csv")
    warn_of_missing(missing)
    return written


def save_figure(figure: Figure, place: Path) -> list[Path]:
    """Writes the figure as PNG and PDF, each as a whole or not at all. Returns their paths, `place` with a suffix."""
    paths = [place.with_name(place.name + suffix) for suffix in (".png", ".pdf")]
    for path in paths:
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:], dpi=150)
        write_atomic(path, content.getvalue())
        # The second file has the first one's layout, which takes a third of the time of drawing.
        figure.set_layout_engine("none")
    plt.close(figure)
    return paths


def _of(name: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["run"] == name]


def _steps_figure(runs: int) -> tuple[Figure, Axes]:
    """A panel over steps, with room for a legend of this number of runs."""
    return plt.subplots(figsize=(6 if runs <= MOST_INSIDE else 8.5, 4), layout="constrained")


def _legend(figure: Figure, axes: Axes, runs: int) -> None:
    if runs <= MOST_INSIDE:
        axes.legend(fontsize=8)
    else:
        figure.legend(loc="outside right center", fontsize=7)


def _kl(runs: list[Run], unsaturated: set[str]) -> tuple[Figure, list[Row]]:
    figure, axes = _steps_figure(len(runs))
    numbers, versions = [], trained_by(runs)
    for look, (name, run) in zip(looks_of([name_of(run) for run in runs]), named(runs).items(), strict=True):
        rows = run.metrics
        step, kl, error = (np.array([row[key] for row in rows]) for key in ("step", "kl", "kl_stderr"))
        every = max(1, len(rows) // 8)
        axes.plot(
            step, kl, label=marked(name, name not in unsaturated), linewidth=1.2, markersize=4, markevery=every, **look
        )
        low, high = kl - ONE_SIDED_95 * error, kl + ONE_SIDED_95 * error
        axes.fill_between(step, low, high, color=look["color"], alpha=0.25, linewidth=0)
        numbers += [{"run": name} | row | {"satlab": versions[name]} for row in rows]
    for threshold in sorted({run.config.threshold for run in runs}):
        axes.axhline(threshold, color="0.3", linestyle=":", linewidth=1)
        place: Any = ("axes fraction", "data")
        axes.annotate(f"saturated below {threshold:g}", (0.01, threshold), xycoords=place, va="bottom", fontsize=8)
    axes.set(xlabel="training step", ylabel="KL(truth || model), nats")
    log_axis(axes)
    axes.set_yscale("log")
    log_ticks(axes.yaxis)
    axes.set_title("Distance from the truth on held-out sentences (band: 90 % interval)", fontsize=9)
    _legend(figure, axes, len(runs))
    different = sorted(set(versions.values()))
    write_below(figure, [f"Trained by different versions of satlab: {', '.join(different)}."] * (len(different) > 1))
    return figure, numbers


def _probe(
    panel: str, points: list[Row], lines: list[Row], unsaturated: set[str], groups: dict[str, str], mixed: list[str]
) -> tuple[Figure, list[Row]]:
    runs = list(dict.fromkeys(point["run"] for point in points))
    figure, axes = _steps_figure(len(runs))
    for look, run in zip(looks_of([groups[run] for run in runs]), runs, strict=True):
        mine = [point for point in points if point["run"] == run]
        x, y, error = ([point[key] for point in mine] for key in ("step", "accuracy", "accuracy_stderr"))
        label = marked(run, run not in unsaturated)
        axes.errorbar(x, y, error, label=label, linewidth=1.2, capsize=2, markersize=5, **look)
        for point in mine:
            face = look["color"] if point["saturated"] else "white"
            axes.plot(point["step"], point["accuracy"], **look, markerfacecolor=face, markersize=5, zorder=3)
    baselines_on(axes, lines, points)
    accuracy_axis(axes)
    log_axis(axes)
    axes.set(xlabel="training step (filled: saturated)", ylabel=plain_text(f"probe accuracy, task {brief(panel)}"))
    _legend(figure, axes, len(runs))
    how = f"Accuracy by {described(points[0]['method'], points[0]['settings'])}."
    bars = f"Bars: one standard error over n = {_counts(points)} repeats of the probe. {how}"
    write_below(figure, [*mixed, bars, *far(lines, points)])
    return figure, points


def _counts(points: list[Row]) -> str:
    return ", ".join(map(str, sorted({point["accuracy_n"] for point in points})))


def _flatness(
    panel: str, points: list[Row], lines: list[Row], unsaturated: set[str], found: list[str]
) -> tuple[Figure, list[Row]]:
    points = [point for point in points if point["trace"] is not None]
    smallest_first = sorted(points, key=lambda point: point["parameters"] or 0)
    runs = list(dict.fromkeys(point["run"] for point in smallest_first))
    steps = [point["step"] for point in points]
    norm = LogNorm(min(steps), max(max(steps), min(steps) + 1))
    columns = min(3, len(runs))
    shape = (-(-len(runs) // columns), columns)
    size = (max(5.5, 3.1 * columns + 1.2), 2.9 * shape[0] + 0.4)
    figure, grid = plt.subplots(*shape, figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, run in zip(grid.flat, runs, strict=False):
        mine = [point for point in points if point["run"] == run]
        axes.plot([p["trace"] for p in mine], [p["accuracy"] for p in mine], color="0.75", linewidth=1, zorder=1)
        for i, point in enumerate(mine):
            color = plt.get_cmap("viridis_r")(norm(point["step"]))
            bars = {"xerr": point["trace_stderr"], "yerr": point["accuracy_stderr"], "capsize": 2, "elinewidth": 1}
            face = color if point["saturated"] else "white"
            axes.errorbar(
                point["trace"], point["accuracy"], fmt="o", color=color, markerfacecolor=face, zorder=2, **bars
            )
            at = (point["trace"], point["accuracy"])
            # The last two points are often close together, so their labels are on opposite sides.
            offset, side = ((-5, -11), "right") if i == len(mine) - 2 else ((5, 5), "left")
            axes.annotate(f"{point['step']:,}", at, xytext=offset, textcoords="offset points", ha=side, fontsize=7)
        baselines_on(axes, lines, points)
        axes.set_title(f"{marked(run, run not in unsaturated)}\n{mine[0]['parameters']:,} parameters", fontsize=9)
        axes.set(xlabel="Tr(H), nats / parameter²  (left: flatter)")
        _trace_axis(axes, [point["trace"] for point in mine])
    for axes in grid.flat[len(runs) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(plain_text(f"probe accuracy,\ntask {brief(panel)}"))
        accuracy_axis(row[0])
    if grid.flat[0].get_legend_handles_labels()[1]:
        grid.flat[0].legend(fontsize=7, loc="best")
    if len(set(steps)) > 1:
        scale = plt.cm.ScalarMappable(norm=norm, cmap="viridis_r")
        bar = figure.colorbar(
            scale, ax=grid, label="training step", shrink=0.8, ticks=thinned(sorted(set(steps))), format="{x:,.0f}"
        )
        bar.ax.minorticks_off()
    first = points[0]
    how = f"Tr(H) by {described(first['trace_method'], first['trace_settings'])}; accuracy by "
    how += described(first["method"], first["settings"]) + "."
    write_below(figure, [KEPT_APART, how, *far(lines, points), *found])
    return figure, points


def _trace_axis(axes: Axes, traces: list[float]) -> None:
    """Makes the x axis logarithmic if the values span more than a factor of three. Labels are plain numbers."""
    axes.margins(x=0.2)
    if max(traces) > 3 * min(traces) > 0:
        log_axis(axes)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:g}")
