"""Rates measured side by side: ours and its peer take turns in one process, round after round."""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Work = Callable[[], int]
"""Does a piece of work and says how many units it was."""


@dataclass(frozen=True)
class Case:
    """One comparison in units a second: `ours` against `peer`, None where there is none; long ones take few rounds."""

    name: str
    unit: str
    ours: Work
    peer_name: str = ""
    peer: Work | None = None
    most_rounds: int = 1000


def at_least_two(text: str) -> int:
    """The type of an option --rounds: two at least, since fewer have no standard error."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"is '{text}', expected an integer of at least 2; correct it")
    return int(text)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def rate(work: Work, device: str) -> float:
    begin = time.perf_counter()
    units = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return units / (time.perf_counter() - begin)


def measure(case: Case, rounds: int, device: str = "cpu") -> dict[str, Any]:
    """A row: the mean rates of both sides, the mean of their ratios, and the standard errors over the rounds.

    Both sides run once before the first round that counts.
    """
    rounds = min(rounds, case.most_rounds)
    sides = [case.ours] if case.peer is None else [case.ours, case.peer]
    rates = [[rate(work, device) for work in sides] for _ in range(rounds + 1)][1:]
    ours, error = mean_and_error([pair[0] for pair in rates])
    row: dict[str, Any] = {"case": case.name, "unit": case.unit, "n": rounds, "ours": ours, "ours_stderr": error}
    if case.peer is not None:
        row["peer"] = case.peer_name
        row["peer_rate"], row["peer_stderr"] = mean_and_error([pair[1] for pair in rates])
        row["ratio"], row["ratio_stderr"] = mean_and_error([mine / theirs for mine, theirs in rates])
    return row


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows for people."""
    lines = [f"{'case':<46} {'ours':>20} {'peer':<30} {'its rate':>18} {'ratio':>16}"]
    for row in rows:
        ours = f"{row['ours']:,.0f} +- {row['ours_stderr']:,.0f}"
        theirs = f"{row['peer_rate']:,.4g} +- {row['peer_stderr']:,.2g}" if "peer" in row else ""
        ratio = f"{row['ratio']:,.3g} +- {row['ratio_stderr']:,.2g}" if "peer" in row else ""
        name = f"{row['case']} ({row['unit']}/s)"
        lines.append(f"{name:<46} {ours:>20} {row.get('peer', ''):<30} {theirs:>18} {ratio:>16}")
    return "\n".join(lines)
