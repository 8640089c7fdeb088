"""Seconds to saturation: rows of the ladder trained past saturation on the languages of the paper.

    python benchmarks/saturation.py --device cuda --precision bf16 --compile --threshold 0.01 --out results/saturation

Each row is a run of its own in OUT/LANGUAGE-MODEL, as `satlab train` makes it: killed, it goes on by the same command.
A run ends at the first checkpoint beyond --past times the step of saturation, or after --steps. Written after each:
OUT/saturation-DEVICE.csv, a line a run, OUT/saturation-metrics-DEVICE.csv, all rows of metrics, and
OUT/saturation-DEVICE.png, KL against seconds of training.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from growth import write_rows
from machine import machine
from tqdm import tqdm

from satlab.errors import StoppedError
from satlab.lab.runs.run import Run, create_run
from satlab.lab.runs.training import train_run
from satlab.train import MetricsRow, TrainConfig

LANGUAGES = ("liu2022-pcfg", "liu2022-hmm")
ROWS = ("1x64", "4x128", "5x192", "6x256", "8x512")
"""Of Tables 3 and 4, layers x width."""

FIRST_KEPT = 250
"""Step of the first checkpoint that is kept; the next are a fourth root of 2 apart."""


def train(run: Run, device: str, past: float) -> None:
    """Up to the first checkpoint that is kept at or beyond so many times the step of saturation."""
    metrics, kept = run.metrics, set(run.config.kept_steps)

    def enough() -> bool:
        last = metrics[-1] if metrics else {}
        first = last.get("saturated_step")
        return first is not None and last["step"] >= past * first and last["step"] in kept

    with tqdm(total=run.config.steps, desc=run.folder.name) as bar:

        def note(row: MetricsRow) -> None:
            metrics.append(vars(row))
            bar.set_postfix_str(f"KL {row.kl:.4g}")
            bar.update(row.step - bar.n)

        try:
            if not enough():
                train_run(run, device, note, should_stop=enough)
        except StoppedError:
            if not enough():
                raise


def elapsed(metrics: list[dict[str, Any]]) -> list[float]:
    """Seconds of training up to each row."""
    return list(itertools.accumulate(row["seconds"] for row in metrics))


def summary(run: Run, language: str, device: str) -> dict[str, Any]:
    metrics = run.metrics
    last, seconds = metrics[-1], elapsed(metrics)
    first = last["saturated_step"]
    to_saturation = next((s for row, s in zip(metrics, seconds, strict=True) if row["step"] == first), None)
    config = run.config
    return {
        "chip": machine(device)["chip"],
        "torch": torch.__version__,
        "language": language,
        "model": run.model,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "compile": config.compile,
        "threads": config.threads if device == "cpu" else None,
        "threshold": config.threshold,
        "saturated_step": first,
        "seconds_to_saturation": to_saturation,
        "step": last["step"],
        "seconds": seconds[-1],
        "kl": last["kl"],
        "kl_stderr": last["kl_stderr"],
        "n": last["n"],
        "tokens_per_second": last["tokens_per_second"],
    }


def draw(path: Path, runs: dict[tuple[str, str], Run], device: str) -> None:
    """KL against seconds, a panel a language, with bands of one standard error and dots where saturation begins."""
    languages = list(dict.fromkeys(language for language, _ in runs))
    figure, axes = plt.subplots(
        1, len(languages), figsize=(5 * len(languages), 3.6), layout="constrained", squeeze=False
    )
    for axis, language in zip(axes[0], languages, strict=True):
        mine = [run for (its, _), run in runs.items() if its == language]
        for number, run in enumerate(mine):
            metrics, seconds = run.metrics, elapsed(run.metrics)
            colour = plt.get_cmap("viridis")(number / max(1, len(mine) - 1) * 0.85)
            kl, error = ([row[name] for row in metrics] for name in ("kl", "kl_stderr"))
            axis.plot(seconds, kl, color=colour, label=run.model)
            low, high = ([k + s * e for k, e in zip(kl, error, strict=True)] for s in (-1, 1))
            axis.fill_between(seconds, low, high, color=colour, alpha=0.2, lw=0)
            for row, at in zip(metrics, seconds, strict=True):
                if row["step"] == metrics[-1]["saturated_step"]:
                    axis.plot(at, row["kl"], "o", color=colour)
        axis.axhline(mine[0].config.threshold, color="k", ls=":", lw=1, label="threshold")
        axis.set(
            xscale="log", yscale="log", xlabel="seconds of training", ylabel="KL(truth || model), nats", title=language
        )
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle(f"Training to saturation on {machine(device)['chip']}; dots: saturated from here on", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--languages", nargs="*", default=LANGUAGES)
    parser.add_argument("--rows", nargs="*", default=ROWS, metavar="LAYERSxWIDTH")
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=40_000, help="at most")
    parser.add_argument("--warmup", type=float, default=0.06, help="share of the steps")
    parser.add_argument("--schedule", default="constant")
    parser.add_argument("--threshold", type=float, default=0.01, help="nats")
    parser.add_argument("--past", type=float, default=2.0, help="times the step of saturation that a run takes")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--out", type=Path, default=Path("results/saturation"))
    given = parser.parse_args()
    names = ("batch_size", "lr", "steps", "warmup", "schedule", "threshold", "precision", "compile", "threads")
    kept = sorted({round(FIRST_KEPT * 2 ** (i / 4)) for i in range(100)})
    settings = {name: getattr(given, name) for name in names} | {"checkpoints": [s for s in kept if s < given.steps]}
    config = TrainConfig(**settings, stop_at_saturation=False)
    runs: dict[tuple[str, str], Run] = {}
    for row, language in itertools.product(given.rows, given.languages):
        run = create_run(given.out / f"{language}-bert-{row}", language, f"bert-{row}", config)
        train(run, given.device, given.past)
        runs[language, row] = run
        lines = [summary(done, its, given.device) for (its, _), done in runs.items()]
        write_rows(given.out / f"saturation-{given.device}.csv", lines)
        found = [{"language": its, "model": done.model} | m for (its, _), done in runs.items() for m in done.metrics]
        write_rows(given.out / f"saturation-metrics-{given.device}.csv", found)
        draw(given.out / f"saturation-{given.device}.png", runs, given.device)
        print(f"{language} bert-{row}: {lines[-1]}", flush=True)


if __name__ == "__main__":
    main()
