"""Selects the rows that figures, tables and reports show: one method and setting for each kind of measurement.

A kind is a quantity; for probes, a task and a method, so that every probe has its own panel. Among the methods and
settings of a kind, the one that covers the most checkpoints is shown. Ties are broken in this order: the most data
(contexts or sentences; for probes, all test sentences, then training sentences); estimators of the Gauss-Newton trace
before those of the Hessian's; more draws or probes; the latest. So a quick measurement never hides a careful one that
covers as many checkpoints.
"""

import json
from functools import lru_cache
from typing import Any

from ..measurements.known_methods import estimates_gauss_newton, reads_table, settings_used
from ..measurements.measure import BASELINES

Row = dict[str, Any]
Setting = tuple[str, str]
"""Method, and as JSON the settings on which its values depend."""

SAMPLES = ("train_sentences", "test_sentences", "seeds", "seed")
NOT_LINEAR = ("lr", "epochs", "method")
"""Settings that the probe linear does not have: those of probes trained by AdamW, and the name of a probe."""


def panel_name(task: str, method: str) -> str:
    """The name of the panel of a task and a probe: "A" for linear, "A linear-adamw" for another probe."""
    return task if method == "linear" else f"{task} {method}"


def panel_of(row: Row) -> str:
    """The panel of a row of a probe or baseline."""
    method = row.get("beside", "linear") if row["method"] in BASELINES else row["method"]
    return panel_name(row["task"], method)


def setting_of(row: Row) -> Setting:
    """The method of a row, and the settings on which its value depends."""
    return str(row["method"]), json.dumps(_used(row["method"], row["settings"]), sort_keys=True)


def described(method: str, settings: str) -> str:
    """A method and its settings in a caption: "sampled-gradient (contexts 2000, draws 1, seed 0)"."""
    kept = {name: value for name, value in _used(method, settings).items() if name != "method"}
    return f"{method} ({', '.join(f'{name} {value}' for name, value in kept.items())})" if kept else method


def one_setting(rows: list[Row]) -> list[Row]:
    """The rows to show: one method and setting for each kind of measurement.

    The baselines of a probe are those measured with the probe's own settings. For a probe that cannot measure the
    look-up table, they are those of the linear probe on as many sentences.

    Args:
        rows: all rows.

    Returns:
        The selected rows of each checkpoint, and each baseline once for every probe to which it belongs, which it names
        under `beside`. Rows without a value, and probes of one layer or position, are left out.
    """
    keys = ("run", "step", "what", "method", "task", "block", "beside")
    return list({tuple(row.get(key) for key in keys): row for _, row in _shown(rows)}.values())


def left_out(rows: list[Row]) -> int:
    """The number of rows with a value that are not shown."""
    return sum(_has_value(row) for row in rows) - len({number for number, _ in _shown(rows)})


def _shown(rows: list[Row]) -> list[tuple[int, Row]]:
    """(index, row) of the rows to show."""
    kinds: dict[Any, list[tuple[int, Row]]] = {}
    tables: dict[str, list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows):
        if _has_value(row) and row.get("layer") is None and row.get("position") is None:
            if row["method"] in BASELINES:
                tables.setdefault(row["task"], []).append((number, row))
            else:
                probe = (row["task"], row["method"]) if row["what"] == "probe" else None
                kinds.setdefault((row["what"], probe), []).append((number, row))
    found: list[tuple[int, Row]] = []
    chosen: dict[str, dict[str, str]] = {}
    for (_, probe), group in kinds.items():
        setting = _best(group)
        found += [(number, row) for number, row in group if setting_of(row) == setting]
        if probe is not None:
            chosen.setdefault(probe[0], {})[probe[1]] = setting[1]
    for task, lines in tables.items():
        methods = chosen.get(task) or {"linear": setting_of(lines[-1][1])[1]}
        for method in methods:
            settings = _beside(method, methods, [row for _, row in lines])
            beside = [(number, row | {"beside": method}) for number, row in lines if setting_of(row)[1] == settings]
            found += beside
    return found


def _has_value(row: Row) -> bool:
    return row["value"] is not None and row["value"] == row["value"]


def _best(group: list[tuple[int, Row]]) -> Setting:
    covered: dict[Setting, set[Any]] = {}
    latest: dict[Setting, int] = {}
    for number, row in group:
        setting = setting_of(row)
        covered.setdefault(setting, set()).add((row["run"], row["step"]))
        latest[setting] = number
    return max(latest, key=lambda setting: (len(covered[setting]), *_data(setting), latest[setting]))


def _data(setting: Setting) -> tuple[float, float, float]:
    """The sort key of a setting: amounts of data, the most important first."""
    method, settings = setting[0], json.loads(setting[1])

    def number(name: str) -> float:
        value = settings.get(name, 0)
        return value if isinstance(value, (int, float)) else 0

    if "test_sentences" in settings or "train_sentences" in settings:
        return number("seeds") * number("test_sentences"), number("train_sentences"), 0
    contexts = number("contexts") or number("sentences")
    return contexts, float(estimates_gauss_newton(method)), max(number("draws"), number("probes"))


def _beside(method: str, chosen: dict[str, str], lines: list[Row]) -> str | None:
    """The settings of the baselines that belong to a probe; None if there are none."""
    if reads_table(method):
        return chosen[method]
    wanted = json.loads(chosen[method])
    known = [setting_of(row)[1] for row in lines]
    fitting = [
        settings
        for settings in known
        if _samples(json.loads(settings)) == _samples(wanted)
        and not any(key in json.loads(settings) for key in NOT_LINEAR)
    ]
    if chosen.get("linear") in fitting:
        return chosen["linear"]
    return fitting[-1] if fitting else None


def _samples(settings: Row) -> list[Any]:
    return [settings.get(name) for name in SAMPLES]


@lru_cache(maxsize=4096)
def _used(method: str | None, settings: str) -> Row:
    return settings_used(str(method), json.loads(settings))
