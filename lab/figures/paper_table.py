"""Tables 1 and 2 of Liu et al. (2022) from recorded numbers of last checkpoints, next to the published ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...estimate import Estimate
from ...system.disk import write_atomic
from ..analysis.model_table import baseline, fewer_seeds, how_of, last_of_each, over_seeds, panels_of, versions_in
from ..analysis.notices import said_of_versions
from ..analysis.published import PUBLISHED_PROBE, cell_text, number_text, ours_text
from ..analysis.results import write_csv
from ..analysis.row_selection import described

Row = dict[str, Any]

LOOKUP = "look-up table"
TABLE_ERRORS = " The error and n of the look-up table are those of the measurement."


def write_table(wide: list[Row], rows: list[Row], tasks: list[str], out: Path, comparison: list[Row]) -> list[Path]:
    """Writes paper-table.csv and .md: a row for each model, and one for the look-up table, whose loss is the floor.

    Args:
        wide: the rows that `wide_rows` returns.
        rows: the rows that `one_setting` selects.
        tasks: the tasks of the study.
        out: the directory to write.
        comparison: the rows that `compare` returns. A published number of one model is in its cell; a published
            difference is below the table.

    Returns:
        The files.
    """
    last = last_of_each(wide)
    columns = _columns(last, tasks)
    lines = [f"| | {' | '.join(columns)} | saturated |", f"|---|{'---|' * (len(columns) + 1)}"]
    numbers = []
    for name, mine, cells in _models(last, rows, columns):
        saturated = all(row["saturated"] for row in mine)
        texts = [_cell(cells.get(column), _beside(comparison, name, column, columns)) for column in columns]
        remark = ", ".join(filter(None, ["yes" if saturated else "no", fewer_seeds(mine)]))
        lines.append(f"| {' | '.join([cell_text(name), *texts, remark])} |")
        for column, value in cells.items():
            if value is not None and column in columns:
                row: Row = {
                    "name": name,
                    "quantity": column,
                    "value": value.value,
                    "stderr": value.stderr,
                    "n": value.n,
                }
                row |= {"trainings": sum(column in one for one in mine), "saturated": saturated}
                published = _beside(comparison, name, column, columns) or {}
                row |= {key: published.get(key) for key in ("published", "published_stderr")}
                numbers.append(row | measured_columns(last, column))
    trainings = {row["trainings"] for row in numbers if row["name"] != LOOKUP}
    said = [
        said_of_bars(trainings, "+-:") + TABLE_ERRORS,
        *_differences(comparison),
        *said_of_versions(rows),
        *said_of_how(columns, last),
    ]
    write_atomic(out / "paper-table.md", "\n".join([*lines, "", *(f"{line}  " for line in said)]) + "\n")
    names = ("name", "quantity", "value", "stderr", "n", "trainings", "saturated", "published", "published_stderr")
    write_csv(numbers, [*names, "method", "settings", "satlab"], out / "paper-table.csv")
    return [out / "paper-table.md", out / "paper-table.csv"]


def _columns(last: list[Row], tasks: list[str]) -> list[str]:
    columns = ["loss", "kl", *(f"accuracy {panel}" for panel in panels_of(last, tasks)), "trace"]
    return [column for column in columns if any(column in row for row in last)]


def _models(
    last: list[Row], rows: list[Row], columns: list[str]
) -> Iterable[tuple[str, list[Row], dict[str, Estimate | None]]]:
    """Each model with its last rows and its cells, then the look-up table, which has no rows."""
    for name in dict.fromkeys(row["name"] for row in last):
        mine = [row for row in last if row["name"] == name]
        yield name, mine, {column: over_seeds(mine, column) for column in columns}
    panels = [column.removeprefix("accuracy ") for column in columns if column.startswith("accuracy ")]
    table: dict[str, Estimate | None] = {f"accuracy {panel}": baseline(rows, "lookup", panel) for panel in panels}
    if floors := [row["floor"] for row in last if "floor" in row]:
        table |= {"loss": floors[0], "kl": Estimate(0.0, 0.0, 1)}
    yield LOOKUP, [], table


def _beside(comparison: list[Row], name: str, column: str, columns: list[str]) -> Row | None:
    """The published number of a cell. A published accuracy is in the column of the published probe, if there is one."""
    model = "lookup" if name == LOOKUP else name
    for row in comparison:
        quantity = row["quantity"] if row["task"] is None else f"{row['quantity']} {row['task']}"
        if f"{quantity} {PUBLISHED_PROBE}" in columns:
            quantity = f"{quantity} {PUBLISHED_PROBE}"
        if (row["model"], row["minus"], quantity) == (model, None, column):
            return row
    return None


def _cell(value: Estimate | None, published: Row | None) -> str:
    ours = ""
    if value is not None:
        exact = not value.stderr > 0
        ours = f"{value.value:.4g}" if exact else f"{value.value:.4g} +- {value.stderr:.2g} (n = {value.n})"
    if published is None:
        return ours
    text = number_text(published["published"], published["published_stderr"])
    return f"{ours or 'not measured'}; published {text}"


def _differences(comparison: list[Row]) -> list[str]:
    """Sentences about the published differences, which have no cell."""
    rows = [row for row in comparison if row["minus"] is not None]
    texts = [(row, number_text(row["published"], row["published_stderr"])) for row in rows]
    return [f"{row['what']}: {ours_text(row)}; published {text} ({row['source']})." for row, text in texts]


def measured_columns(wide: list[Row], key: str) -> Row:
    """The columns method, settings and satlab of a key."""
    method, settings = how_of(wide, key) or (None, None)
    return {"method": method, "settings": settings, "satlab": ", ".join(versions_in(wide, [key]))}


def said_of_bars(trainings: set[int], what: str = "Bars:") -> str:
    """A sentence that explains the errors of means over these numbers of trainings."""
    if trainings <= {0, 1}:
        return f"{what} one standard error of the measurement, within one training (n = 1 training)."
    least, most = min(trainings), max(trainings)
    count = str(most) if least == most else f"{least} to {most}"
    return f"{what} one standard error over n = {count} trainings and of the measurement, which they share."


def said_of_how(quantities: list[str], wide: list[Row]) -> list[str]:
    """Texts that state how each quantity was measured."""
    hows = {quantity: how for quantity in quantities if (how := how_of(wide, quantity)) is not None}
    return [f"{quantity}: {described(*how)}" for quantity, how in hows.items()]
