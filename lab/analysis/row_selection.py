"""Which rows figures, tables and reports show: of each kind of measurement those of one method and setting.

A kind is a quantity, of probes a task and a method: every probe that was measured has a panel of its own. Of the
methods and settings of a kind the one counts that covers the most checkpoints; among these the one with the most data
(contexts or sentences; of probes test sentences in all, then training sentences); then estimators of the Gauss-Newton
trace before those of the Hessian's; then the one with more draws or probes; then the latest. So a quick look hides no
careful one.
"""

import json
from functools import lru_cache
from typing import Any

from ..measurements.known_methods import estimates_gauss_newton, reads_table, settings_used
from ..measurements.measure import BASELINES

Row = dict[str, Any]
Setting = tuple[str, str]
"""Method, and settings as JSON: what its values depend on."""

SAMPLES = ("train_sentences", "test_sentences", "seeds", "seed")
NOT_LINEAR = ("lr", "epochs", "method")
"""Settings of other probes than linear: of those trained by AdamW, and of all that name themselves."""


def panel_name(task: str, method: str) -> str:
    """The name of a task's probe: "A" for linear, "A linear-adamw" for another method."""
    return task if method == "linear" else f"{task} {method}"


def panel_of(row: Row) -> str:
    """The panel of a probe's row, or of a baseline that stands beside it."""
    method = row.get("beside", "linear") if row["method"] in BASELINES else row["method"]
    return panel_name(row["task"], method)


def setting_of(row: Row) -> Setting:
    """The method of a row, and the settings that its value depends on."""
    return str(row["method"]), json.dumps(_used(row["method"], row["settings"]), sort_keys=True)


def described(method: str, settings: str) -> str:
    """In a caption: "sampled-gradient (contexts 2000, draws 1, seed 0)"."""
    kept = {name: value for name, value in _used(method, settings).items() if name != "method"}
    return f"{method} ({', '.join(f'{name} {value}' for name, value in kept.items())})" if kept else method


def one_setting(rows: list[Row]) -> list[Row]:
    """The rows to show: of each kind of measurement those of one method and setting.

    Baselines are those taken with the probe's own settings. Beside a probe that trains the model, which has no
    look-up table, they are those of the linear probe on as many sentences.

    Args:
        rows: all rows.

    Returns:
        The rows of each checkpoint once, and each baseline once for every probe that it stands beside, which it names
        under `beside`. Rows without a value, and probes of one layer or position, are left out.
    """
    keys = ("run", "step", "what", "method", "task", "block", "beside")
    return list({tuple(row.get(key) for key in keys): row for _, row in _shown(rows)}.values())


def left_out(rows: list[Row]) -> int:
    """How many rows with a value are not shown."""
    return sum(_has_value(row) for row in rows) - len({number for number, _ in _shown(rows)})


def _shown(rows: list[Row]) -> list[tuple[int, Row]]:
    """The rows to show with their places."""
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
    """The amounts of data behind a setting, to sort by; an earlier number outweighs those after it."""
    method, settings = setting[0], json.loads(setting[1])

    def number(name: str) -> float:
        value = settings.get(name, 0)
        return value if isinstance(value, (int, float)) else 0

    if "test_sentences" in settings or "train_sentences" in settings:
        return number("seeds") * number("test_sentences"), number("train_sentences"), 0
    contexts = number("contexts") or number("sentences")
    return contexts, float(estimates_gauss_newton(method)), max(number("draws"), number("probes"))


def _beside(method: str, chosen: dict[str, str], lines: list[Row]) -> str | None:
    """The settings of the baselines beside a probe; None where none were taken with its own."""
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
