"""The speed-run to saturation: which way of training reaches KL(truth || model) < 0.01 nats first.

    python benchmarks/saturation.py --out results/saturation

Rules, by which others can enter a recipe of their own: the language and the shape of the model are given; everything
else is free, as long as it is stated as settings of training in RECIPES. A run counts from its first step to the first
row of metrics that is saturated, by the rule of satlab train: the upper 95 % bound of KL on held-out sentences is below
the threshold, its standard error at most a tenth of that. Seconds are those of training, the making of batches and of
exact targets included, the measurement of KL left out. Rates and step limits may be tuned beforehand, on other seeds.

Each run lies in OUT/LANGUAGE-RECIPE-seedS, as `satlab train` makes it: killed, it goes on by the same command; a run
that is finished is not repeated. The runs of one seed follow one another, so that all recipes meet the same machine.
Written after each run: OUT/recipes-DEVICE.csv, a line a run; OUT/recipes-table-DEVICE.csv, means with standard
errors over seeds and ratios to tuned AdamW on sampled words; OUT/recipes-DEVICE.png, KL against both.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from growth import write_rows
from machine import machine
from matplotlib.ticker import NullFormatter
from tqdm import tqdm

from satlab.lab.runs.run import Run, create_run
from satlab.lab.runs.training import train_run
from satlab.models.ladder import count_parameters
from satlab.train import MetricsRow, TrainConfig
from satlab.train.recipes import with_recipe

MODELS = {"demo-pcfg": "bert-2x32", "demo-hmm": "bert-2x32", "liu2022-hmm-s50": "bert-2x128:heads=4"}
"""Language -> the model that is to saturate on it."""

REFERENCE = "adamw"
"""The recipe that all others are compared with: AdamW on sampled words, its rate and limit tuned."""

RECIPES: dict[str, dict[str, Any]] = {
    "liu2022": {"recipe": "liu2022", "steps": 4000},
    "adamw": {"lr": 4e-3, "schedule": "linear", "batch_size": 128, "steps": 16_000},
    "muon": {"optimizer": "muon", "lr": 2e-3, "optimizer_settings": {"matrix_lr": 5e-3}, "schedule": "linear"}
    | {"batch_size": 128, "steps": 16_000},
    "exact adamw": {"targets": "exact", "lr": 4e-3, "schedule": "wsd:decay=0.5", "batch_size": 128, "steps": 2000},
    "fast": {"recipe": "fast"},
}
"""Name -> settings of training; `recipe` is one of satlab's own."""

LARGER: dict[str, dict[str, Any]] = {"liu2022-hmm-s50": {"batch_size": 256, "evaluate_every": 250}}
"""Language -> what all recipes but the published one change there."""

OWN: dict[tuple[str, str], dict[str, Any]] = {
    ("liu2022-hmm-s50", "adamw"): {"lr": 2e-3, "steps": 12_000},
    ("liu2022-hmm-s50", "exact adamw"): {"lr": 2e-3, "steps": 4000},
    ("liu2022-hmm-s50", "fast"): {"steps": 4000},
}
"""(language, recipe) -> its rate and step limit there. For AdamW, 5e-4, 1e-3 and 2e-3 were tried: after 800 steps of
256 sentences with linear decay KL was 0.1129, 0.1106 and 0.1103, each +- 0.0014; n = 1. For exact targets no
rate was tuned."""


def settings_of(language: str, recipe: str, seed: int, threshold: float) -> TrainConfig:
    """The configuration of a run."""
    given = dict(RECIPES[recipe])
    name = given.pop("recipe", None)
    if recipe != "liu2022":
        given |= LARGER.get(language, {}) | OWN.get((language, recipe), {})
    values = given if name is None else with_recipe(name, MODELS[language], given)
    limit = values.get("steps", TrainConfig().steps)
    fixed = {"seed": seed, "threshold": threshold, "checkpoints": [limit], "resume_every": 500}
    return TrainConfig(**{"evaluate_every": 100} | values | fixed)


def train(run: Run, device: str) -> None:
    """Trains to saturation or to the step limit, with a bar."""
    with tqdm(total=run.config.steps, desc=run.folder.name) as bar:

        def note(row: MetricsRow) -> None:
            bar.set_postfix_str(f"KL {row.kl:.4g}")
            bar.update(row.step - bar.n)

        train_run(run, device, note)


def line_of(run: Run, language: str, recipe: str, device: str) -> dict[str, Any]:
    """What a run took to saturation; steps, sentences, FLOPs and seconds are empty where it did not saturate."""
    rows, config = run.metrics, run.config
    last, reached = rows[-1], rows[-1]["saturated"]
    weights = count_parameters(run.model, run.language.vocab_size, run.language.max_length).without_embeddings
    words = last["step"] * config.batch_size * run.language.max_length
    return {
        "chip": machine(device)["chip"],
        "torch": torch.__version__,
        "language": language,
        "model": run.model,
        "recipe": recipe,
        "seed": config.seed,
        "threshold": config.threshold,
        "saturated": reached,
        "steps": last["step"] if reached else None,
        "sentences": last["step"] * config.batch_size if reached else None,
        "flops": 6 * weights * words if reached else None,
        "seconds": round(sum(row["seconds"] for row in rows), 2) if reached else None,
        "limit": config.steps,
        "kl": last["kl"],
        "kl_stderr": last["kl_stderr"],
        "n": last["n"],
    }


def table(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard error over seeds of each language and recipe, and how many times fewer than the reference."""
    rows = []
    for language, recipe in dict.fromkeys((line["language"], line["recipe"]) for line in lines):
        mine = [line for line in lines if (line["language"], line["recipe"]) == (language, recipe)]
        row: dict[str, Any] = {"language": language, "model": mine[0]["model"], "recipe": recipe, "seeds": len(mine)}
        row["saturated"] = sum(line["saturated"] for line in mine)
        for name in ("steps", "sentences", "flops", "seconds"):
            values = [line[name] for line in mine if line["saturated"]]
            row[name] = float(np.mean(values)) if values else None
            row[f"{name}_stderr"] = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
            row[f"{name}_ratio"], row[f"{name}_ratio_stderr"] = _ratio(lines, language, recipe, name)
        rows.append(row)
    return rows


def _ratio(lines: list[dict[str, Any]], language: str, recipe: str, name: str) -> tuple[float | None, float | None]:
    """How many times the reference takes what this recipe does, seed by seed: mean and standard error."""
    by = {(line["recipe"], line["seed"]): line[name] for line in lines if line["language"] == language}
    pairs = [(by.get((REFERENCE, seed)), value) for (its, seed), value in by.items() if its == recipe]
    ratios = [reference / value for reference, value in pairs if reference is not None and value is not None]
    error = float(np.std(ratios, ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else None
    return (float(np.mean(ratios)) if ratios else None), error


def draw(path: Path, runs: dict[tuple[str, str, int], Run], device: str) -> None:
    """KL against sentences and seconds, a column a language."""
    languages = list(dict.fromkeys(language for language, _, _ in runs))
    figure, axes = plt.subplots(
        2, len(languages), figsize=(4.6 * len(languages), 6.4), layout="constrained", squeeze=False, sharey=True
    )
    colours = dict(zip(RECIPES, plt.get_cmap("tab10").colors, strict=False))
    for column, language in enumerate(languages):
        labelled = set()
        for (its, recipe, _), run in runs.items():
            if its != language or not (rows := run.metrics):
                continue
            seconds = list(itertools.accumulate(row["seconds"] for row in rows))
            sentences = [row["step"] * run.config.batch_size for row in rows]
            label = None if recipe in labelled else recipe
            labelled.add(recipe)
            for axis, across in zip(axes[:, column], (sentences, seconds), strict=True):
                axis.plot(across, [row["kl"] for row in rows], color=colours[recipe], label=label, lw=1)
        for axis, name in zip(axes[:, column], ("sentences", "seconds of training"), strict=True):
            axis.axhline(0.01, color="k", ls=":", lw=1)
            axis.set(xscale="log", yscale="log", xlabel=name)
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.grid(alpha=0.25)
        axes[0, column].set_title(f"{language}, {MODELS[language]}", fontsize=9)
        axes[0, column].legend(frameon=False, fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel("KL(truth || model), nats")
    figure.suptitle(f"To saturation on {machine(device)['chip']}, one line a training", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--languages", nargs="*", default=list(MODELS), choices=list(MODELS), metavar="LANGUAGE")
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--threshold", type=float, default=0.01, help="nats")
    parser.add_argument("--out", type=Path, default=Path("results/saturation"))
    given = parser.parse_args()
    runs: dict[tuple[str, str, int], Run] = {}
    for seed, language, recipe in itertools.product(given.seeds, given.languages, given.recipes):
        config = settings_of(language, recipe, seed, given.threshold)
        folder = given.out / f"{language}-{recipe.replace(' ', '-')}-seed{seed}"
        run = create_run(folder, language, MODELS[language], config)
        train(run, given.device)
        runs[language, recipe, seed] = run
        lines = [line_of(done, its, how, given.device) for (its, how, _), done in runs.items()]
        write_rows(given.out / f"recipes-{given.device}.csv", lines)
        write_rows(given.out / f"recipes-table-{given.device}.csv", table(lines))
        draw(given.out / f"recipes-{given.device}.png", runs, given.device)


if __name__ == "__main__":
    main()
