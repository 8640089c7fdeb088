"""A series: one study for each language of a family, and what they say together.

The key `vary` names keys of the language with the values that each takes. For every combination the study is done in a
directory of its own, OUT/KEY-VALUE-KEY-VALUE, which can be looked at like any study. The first key is the axis of the
series' figure; means and errors are over the combinations of the others.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from ...errors import InputError, placed
from ...system.disk import write_atomic
from ..analysis.results import rows_in, write_csv
from ..analysis.series import Cell, per_cell, summary
from ..figures.series import check_curves, draw_series
from ..reading import STUDY
from .config import StudyConfig
from .progress import Report
from .slurm_array import cells_of, run_cell
from .study import check_place, check_study, run_study

SERIES_FILE = "series.yaml"
"""What says in a series' directory which it is."""


@dataclass(frozen=True)
class Member:
    """A study of the series.

    Args:
        name: of its directory.
        values: key of the language -> value.
        study: its settings.
    """

    name: str
    values: dict[str, Any]
    study: StudyConfig


def members_of(study: StudyConfig) -> list[Member]:
    """The studies of a series, those that differ in the last key side by side.

    Args:
        study: with the key `vary`.

    Returns:
        The studies, the first value of every later key before the second of any.

    Raises:
        InputError: for a language that is not described by keys, a key without values, and a value given twice.
    """
    with placed(STUDY, "vary"):
        base = {"preset": study.language} if isinstance(study.language, str) else study.language
        if not isinstance(base, Mapping) or "file" in base or str(base.get("preset", "")).endswith((".npz", ".pcfg")):
            raise InputError(f"language is '{study.language}', expected a preset or keys of a family; describe it so")
        for key, values in study.vary.items():
            if not isinstance(values, list) or not values or len({str(value) for value in values}) < len(values):
                raise InputError(f"{key} is {values!r:.80}, expected a list of different values; correct it")
    later = list(study.vary)[1:] + list(study.vary)[:1]
    found = []
    for values in product(*(study.vary[key] for key in later)):
        given = dict(zip(later, values, strict=True))
        given = {key: given[key] for key in study.vary}
        name = "-".join(f"{key}-{value}" for key, value in given.items())
        found.append(Member(name, given, replace(study, language=dict(base) | given, vary={}, curves=[], form=[])))
    return found


def series_cells(study: StudyConfig) -> list[dict[str, Any]]:
    """What each cell of a series is, by its number: the cells of its first study, then those of the next."""
    cells = [{"directory": member.name} | cell for member in members_of(study) for cell in cells_of(member.study)]
    return [cell | {"cell": number, "of": len(cells)} for number, cell in enumerate(cells)]


def run_series_cell(study: StudyConfig, out: Path, number: int, report: Report) -> dict[str, Any]:
    """Does one cell of a series in this process. Cells may run side by side on several machines.

    Args:
        study: with the key `vary`.
        out: the directory of the series.
        number: of the cell, as `series_cells` counts.
        report: told whenever a part is done.

    Returns:
        What the cell is.

    Raises:
        InputError: as `check_series`, and for a cell that does not exist.
        DivergedError: as `run_cell`.
    """
    members, cells = check_series(study, out), series_cells(study)
    if not 0 <= number < len(cells):
        raise InputError(f"cell {number}: expected 0 to {len(cells) - 1}; --cells lists them")
    cell = cells[number]
    at = [member.name for member in members].index(cell["directory"])
    before = sum(len(cells_of(member.study)) for member in members[:at])
    _begin(study, out)
    run_cell(members[at].study, out / cell["directory"], number - before, report)
    return cell


def check_series(study: StudyConfig, out: Path) -> list[Member]:
    """Checks every study of a series before anything is written.

    Args:
        study: with the key `vary`.
        out: the directory of the series.

    Returns:
        The studies.

    Raises:
        InputError: as `check_study`, and where the directory holds something else.
    """
    check_curves(study.curves, list(study.vary))
    check_place(out, SERIES_FILE)
    members = members_of(study)
    for member in members:
        check_study(member.study, out / member.name)
    return members


def run_series(study: StudyConfig, out: Path, report: Report, engine: str = "local") -> list[str]:
    """Does every study of a series, one after the other; what is finished is not done again.

    Args:
        study: with the key `vary`.
        out: the directory of the series.
        report: told of the cells of the study under way.
        engine: as of `run_study`.

    Returns:
        A line for each cell that failed.

    Raises:
        InputError: as `check_series`.
    """
    members = check_series(study, out)
    _begin(study, out)
    failures = []
    for number, member in enumerate(members):

        def told(
            message: str, done: int, total: int, left: float | None, at: int = number, name: str = member.name
        ) -> None:
            report(f"{name} ({at + 1} of {len(members)}) {message}", done, total, left)

        failures += [f"{member.name}: {line}" for line in run_study(member.study, out / member.name, told, engine)]
    return failures


def _begin(study: StudyConfig, out: Path) -> None:
    """Makes the directory and notes the series there; other cells may do the same at this moment."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / SERIES_FILE, yaml.safe_dump(json.loads(json.dumps(asdict(study))), sort_keys=False))


def conclude_series(study: StudyConfig, out: Path) -> list[Path]:
    """Writes what the studies say together: figures/series.csv, figures/series-cells.csv and a figure.

    Args:
        study: with the key `vary`.
        out: the directory of the series.

    Returns:
        The files.

    Raises:
        InputError: where nothing is recorded yet.
    """
    cells = list(_recorded(study, out))
    if not cells:
        raise InputError(f"{out}: nothing recorded yet, expected the results of a study; run it first")
    written = draw_series(summary(cells), study.curves, study.question or study.name or "", out / "figures")
    each = per_cell(cells)
    write_csv(each, list(each[0]), out / "figures" / "series-cells.csv")
    return [*written, out / "figures" / "series-cells.csv"]


def _recorded(study: StudyConfig, out: Path) -> Iterator[Cell]:
    for member in members_of(study):
        if (out / member.name / "results.csv").is_file():
            yield Cell(member.values, rows_in([out / member.name]))
