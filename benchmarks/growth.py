"""How the cost of all conditionals grows with the sentence and with the grammar: measured, drawn and fitted."""

import csv
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from satlab.generators import load_language
from satlab.randomness import random_stream

LENGTHS = (4, 8, 16, 32, 64, 128)
RULES = (125, 250, 500, 1000, 2000)
REPEATS = 5


def milliseconds(symbols: int, rules: int, length: int) -> tuple[float, float]:
    """(mean, standard error over repeats) of the time a sentence takes, sentences in groups large enough to time."""
    family = {"family": "random-pcfg", "symbols": symbols, "rules": rules, "words": 200}
    language = load_language(family | {"max_length": length, "lengths": {length: 1}})
    tokens = language.sample(64, random_stream(1, "corpus"), latents=False).tokens
    language.conditional(tokens[:16])
    times = []
    for _ in range(REPEATS):
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.5:
            language.conditional(tokens)
            done += len(tokens)
        times.append(1e3 * (time.perf_counter() - begin) / done)
    return float(np.mean(times)), float(np.std(times, ddof=1) / np.sqrt(REPEATS))


def draw_growth(out: Path) -> None:
    """growth.csv and growth.png in the directory."""
    rows = []
    by_length = [(length, *milliseconds(50, 500, length)) for length in LENGTHS]
    by_rules = [(rules, *milliseconds(50, rules, 16)) for rules in RULES]
    rows += [{"symbols": 50, "rules": 500, "length": x, "ms": ms, "stderr": error} for x, ms, error in by_length]
    rows += [{"symbols": 50, "rules": x, "length": 16, "ms": ms, "stderr": error} for x, ms, error in by_rules]
    write_rows(out / "growth.csv", rows)
    panels = [
        Panel("50 symbols, 500 rules", "words in a sentence", by_length),
        Panel("50 symbols, 16 words", "binary rules", by_rules),
    ]
    draw_panels(out / "growth.png", "Exact conditionals at every position, float64", "ms a sentence", panels)


class Panel(NamedTuple):
    """points: (x, ms, standard error)."""

    title: str
    label: str
    points: list[tuple[float, float, float]]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def round_numbers(low: float, high: float) -> list[float]:
    """Powers of ten from low to high; with twice and five times these where there are few."""
    digits = (1, 2, 5) if high < 100 * low else (1,)
    found = (float(f"{digit}e{k}") for k in range(-9, 9) for digit in digits)
    return [number for number in found if low <= number <= high]


def draw_panels(path: Path, title: str, unit: str, panels: list[Panel]) -> None:
    """Log-log curves with error bars, two in a row, each with the slope of its last three points."""
    rows = len(panels) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(8, 3.2 * rows), layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=True):
        x, ms, error = map(np.array, zip(*panel.points, strict=True))
        slope, level = np.polyfit(np.log(x[-3:]), np.log(ms[-3:]), 1)
        axis.errorbar(x, ms, yerr=error, fmt="o-", ms=4, label="measured")
        axis.plot(x, np.exp(level) * x**slope, "k:", label=f"slope {slope:.2f} (last three)")
        axis.set(xscale="log", yscale="log", xlabel=panel.label, ylabel=unit)
        axis.set_xticks(x, [f"{value:g}" for value in x])
        numbers = round_numbers(*axis.get_ylim())
        axis.set_yticks(numbers, [f"{value:g}" for value in numbers])
        axis.minorticks_off()
        axis.grid(alpha=0.25)
        axis.legend(frameon=False)
        axis.set_title(panel.title, fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=150)
