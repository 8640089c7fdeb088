"""Time to 1 % standard error of the trace of the Hessian, ours beside others' recipes, in one run: a table and JSON.

    python benchmarks/flatness.py --run RUN [--curvlinops PYTHON] [--rounds 5] [--seconds 2] [--threads 1] [--out DIR]

RUN is a trained run; the figures in docs/benchmarks are of

    satlab train demo-pcfg --model bert-4x128 --lr 1e-3 --steps 12000 --batch-size 128 --schedule linear
        --stop-at-saturation false --out RUN

Each case is a process of its own, and all take turns, round after round, ours for so many seconds and others for twice
as long, on fresh contexts all the time. Of n independent terms (contexts, or random vectors on a batch of contexts)
with mean m and variance s^2 in t seconds,

    time to 1 % = (t / n) (s / 0.01 m)^2,

with all rounds pooled; its standard error, and that of a ratio, is the jackknife's over the rounds. Memory is the most
that the process had resident, and what it had before it began.

PYTHON: an interpreter that has both satlab and curvlinops-for-pytorch (3.0.1), which needs torchvision and therefore an
environment of its own; without it these cases are left out. Their batch sizes and numbers of products were chosen by a
few trials (4, 16 and 64 contexts; 1, 15, 16, 30 and 32 products), of which no figures were kept.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import machine
from timing import at_least_two

HERE = Path(__file__).parent
OURS = ("random-factor", "sampled-gradient", "by-parts")
RECIPES = ("one gradient at a time, 50 draws", "Gaussian Hutchinson on the batch loss, 64")
CURVLINOPS = (
    "curvlinops GGN, hutchinson_trace, 64",
    "curvlinops GGN, hutchpp_trace, 16 x 15",
    "curvlinops GGN, xtrace, 4 x 16",
    "curvlinops Hessian, hutchinson_trace, 64",
)


Round = dict[str, float]


class Case:
    """A process that works when it is told to."""

    def __init__(self, python: str, name: str, given: argparse.Namespace) -> None:
        self.name = name
        command = [python, str(HERE / "flatness_cases.py"), str(given.run), name]
        environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.rounds: list[Round] = []
        self._answer()

    def work(self, seconds: float) -> None:
        assert self.process.stdin is not None
        print(seconds, file=self.process.stdin, flush=True)
        self.rounds.append(json.loads(self._answer()))

    def _answer(self) -> str:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: its process ended")
        return answer


def to_one_percent(rounds: list[Round]) -> float:
    """Seconds."""
    n = sum(one["n"] for one in rounds)
    mean, variance = (sum(one["n"] * one[key] for one in rounds) / n for key in ("mean", "variance"))
    return sum(one["seconds"] for one in rounds) / n * variance / (0.01 * mean) ** 2


def jackknife(value: Callable[[list[int]], float], count: int) -> tuple[float, float]:
    """The value of all rounds, and its standard error."""
    whole = list(range(count))
    without = [value([i for i in whole if i != left_out]) for left_out in whole]
    centre = sum(without) / count
    return value(whole), (sum((one - centre) ** 2 for one in without) * (count - 1) / count) ** 0.5


def row(case: Case, best: Case) -> dict[str, Any]:
    """A case over all rounds, beside the best of ours."""

    def seconds(of: Case, kept: list[int]) -> float:
        return to_one_percent([of.rounds[i] for i in kept])

    rounds, count = case.rounds, len(case.rounds)
    out: dict[str, Any] = {"case": case.name, "rounds": count, "n": sum(one["n"] for one in rounds)}
    out["seconds_to_1_percent"], out["stderr"] = jackknife(lambda kept: seconds(case, kept), count)
    out["ratio"], out["ratio_stderr"] = jackknife(lambda kept: seconds(case, kept) / seconds(best, kept), count)
    out["trace"] = sum(one["n"] * one["mean"] for one in rounds) / out["n"]
    out["trace_stderr"] = sum(one["n"] * one["variance"] for one in rounds) ** 0.5 / out["n"]
    out["peak_mb"], out["before_mb"] = (max(one[key] for one in rounds) for key in ("peak_mb", "before_mb"))
    return out


def line(found: dict[str, Any]) -> str:
    seconds = f"{found['seconds_to_1_percent']:,.3g} +- {found['stderr']:,.2g} s"
    ratio = f"{found['ratio']:,.3g} +- {found['ratio_stderr']:,.2g}"
    trace = f"{found['trace']:,.4g} +- {found['trace_stderr']:,.2g}"
    memory = f"{found['peak_mb']:,.0f} MB ({found['before_mb']:,.0f} before)"
    return f"{found['case']:<45} {seconds:>20} {ratio:>18} {trace:>18} {memory:>26}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--curvlinops", default=None, metavar="PYTHON")
    parser.add_argument("--rounds", type=at_least_two, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases = [Case(sys.executable, name, given) for name in (*OURS, *RECIPES)]
    cases += [Case(given.curvlinops, name, given) for name in CURVLINOPS if given.curvlinops]
    for _ in range(given.rounds):
        for case in cases:
            case.work(given.seconds if case.name in OURS else 2 * given.seconds)
    for case in cases:
        case.process.communicate()
    rows = [row(case, cases[0]) for case in cases]
    print(f"{'case':<45} {'time to 1 %':>20} {'of ' + OURS[0]:>18} {'trace':>18} {'memory':>26}")
    print("\n".join(line(one) for one in rows))
    config = json.loads((given.run / "metrics.jsonl").read_text().splitlines()[-1])
    content = {
        "machine": machine("cpu"),
        "run": {key: config[key] for key in ("step", "kl", "kl_stderr")},
        "rows": rows,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "flatness-cpu.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
