"""How the cost of saturation grows with the language: one network and one recipe on ladders of languages.

    python benchmarks/ladder.py --out results/ladder

The rungs of a ladder are languages of one construction: hidden Markov models of 10, 20, 50 and 100 states, and grammars
of 3 to 6 layers. `bert-3x128:heads=4` is trained on each by `fast`, batches of 256, until KL(truth || model) is below
0.01 nats, by the rule of benchmarks/saturation.py, or until the step limit. Since the rate decays towards that limit,
each rung has its own, in STEPS. Seconds count as they do there.

Each run lies in OUT/LANGUAGE, as `satlab train` makes it: killed, it goes on by the same command; one that is finished
is not repeated. Written after each run: OUT/ladder-DEVICE.csv, a line a rung; OUT/ladder-metrics-DEVICE.csv, KL by
step; OUT/ladder-DEVICE.png.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from growth import write_rows
from machine import machine
from saturation import line_of, train

from satlab.lab.figures.axes import log_ticks
from satlab.lab.runs.run import Run, create_run
from satlab.train import TrainConfig
from satlab.train.recipes import with_recipe

MODEL = "bert-3x128:heads=4"

LADDERS: dict[str, dict[str, int]] = {
    "states": {"liu2022-hmm-s10": 10, "liu2022-hmm-s20": 20, "liu2022-hmm-s50": 50, "liu2022-hmm": 100},
    "layers": {"liu2022-pcfg-d3": 3, "liu2022-pcfg-d4": 4, "liu2022-pcfg-d5": 5, "liu2022-pcfg": 6},
}
"""What grows -> language -> how much of it."""

STEPS = {"liu2022-hmm-s10": 1500, "liu2022-hmm-s20": 2000, "liu2022-hmm-s50": 4000, "liu2022-hmm": 7000} | {
    "liu2022-pcfg-d3": 1500,
    "liu2022-pcfg-d4": 4000,
    "liu2022-pcfg-d5": 7000,
    "liu2022-pcfg": 7000,
}
"""Language -> step limit."""


def settings(seed: int, steps: int, threshold: float) -> TrainConfig:
    """The configuration of every rung."""
    given = {"batch_size": 256, "steps": steps, "seed": seed, "threshold": threshold, "resume_every": 250}
    return TrainConfig(**with_recipe("fast", MODEL, given))


def size_of(language: str) -> tuple[str, int]:
    """(what grows along the language's ladder, how much of it the language has)."""
    return next((name, rungs[language]) for name, rungs in LADDERS.items() if language in rungs)


def line(run: Run, language: str, device: str) -> dict[str, Any]:
    """A rung's line: what grows, and what saturation took; empty where the step limit came first."""
    name, size = size_of(language)
    return {"ladder": name, "size": size} | line_of(run, language, "fast", device)


def metrics(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """KL by step, with the sentences and seconds up to there."""
    rows = []
    for language, run in runs.items():
        seconds = itertools.accumulate(row["seconds"] for row in run.metrics)
        for row, so_far in zip(run.metrics, seconds, strict=True):
            kept = {name: row[name] for name in ("step", "kl", "kl_stderr", "n")}
            rows.append({"language": language, "sentences": row["step"] * 256, "seconds": round(so_far, 1)} | kept)
    return rows


def draw(path: Path, rows: list[dict[str, Any]], lines: list[dict[str, Any]], device: str) -> None:
    """KL against sentences, a line a rung, a panel a ladder; then sentences to saturation against size."""
    ladders = list(dict.fromkeys(line["ladder"] for line in lines))
    figure, axes = plt.subplots(1, 1 + len(ladders), figsize=(4.4 * (1 + len(ladders)), 3.6), layout="constrained")
    for axis, name in zip(axes, ladders, strict=False):
        for one in (line for line in lines if line["ladder"] == name):
            its = [row for row in rows if row["language"] == one["language"]]
            axis.plot([row["sentences"] for row in its], [row["kl"] for row in its], lw=1, label=one["language"])
        axis.axhline(one["threshold"], color="k", ls=":", lw=1)
        axis.set(xscale="log", yscale="log", xlabel="sentences", ylabel="KL(truth || model), nats")
        axis.legend(frameon=False, fontsize=8)
        reached = [one for one in lines if one["ladder"] == name and one["saturated"]]
        axes[-1].plot([one["size"] for one in reached], [one["sentences"] for one in reached], "o-", label=name)
    axes[-1].set(xscale="log", yscale="log", xlabel="size of the language", ylabel="sentences to saturation")
    axes[-1].legend(frameon=False, fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.25)
        log_ticks(axis.xaxis)
        log_ticks(axis.yaxis)
    figure.suptitle(f"{MODEL} by `fast` on {machine(device)['chip']}, one training a language", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    languages = [language for rungs in LADDERS.values() for language in rungs]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--languages", nargs="*", default=languages, choices=languages, metavar="LANGUAGE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="limit of each run; by default that of its rung")
    parser.add_argument("--threshold", type=float, default=0.01, help="nats")
    parser.add_argument("--out", type=Path, default=Path("results/ladder"))
    given = parser.parse_args()
    runs: dict[str, Run] = {}
    for language in given.languages:
        config = settings(given.seed, given.steps or STEPS[language], given.threshold)
        run = create_run(given.out / language, language, MODEL, config)
        train(run, given.device)
        runs[language] = run
        lines = [line(done, its, given.device) for its, done in runs.items()]
        write_rows(given.out / f"ladder-{given.device}.csv", lines)
        write_rows(given.out / f"ladder-metrics-{given.device}.csv", metrics(runs))
        draw(given.out / f"ladder-{given.device}.png", metrics(runs), lines, given.device)


if __name__ == "__main__":
    main()
