"""A probe over training, beside its floor and its ceilings: majority class, look-up table and Bayes optimum."""

# %% A language and its task A: the symbol that derives the sentence with the highest probability
from pathlib import Path

import matplotlib.pyplot as plt

from satlab.generators import load_language
from satlab.models import build_model, load_model
from satlab.probes import linear_probe, majority_class
from satlab.randomness import random_stream
from satlab.train import TrainConfig, Trainer, checkpoints

language, run = load_language("demo-pcfg"), Path("results/gallery/bayes_ceiling")
task = language.tasks["A"]
sizes = {"train_sentences": 2000, "test_sentences": 2000}

# %% Train, and probe every checkpoint: run again, training goes on where it was
config = TrainConfig(
    steps=1600,
    batch_size=64,
    lr=3e-3,
    schedule="linear",
    targets="exact",
    checkpoints=[25, 50, 100, 200, 400, 800, 1600],
    evaluate_every=1600,
)
for row in Trainer(build_model("bert-2x32", language), language, config, run).rows():
    print(f"step {row.step}: KL {row.kl:.4f} +- {row.kl_stderr:.4f} nats")
probed = {step: linear_probe(load_model(folder), language, task, **sizes) for step, folder in checkpoints(run)}
baselines = {
    "Bayes optimum": task.bayes_accuracy(10_000, random_stream(0, "tasks")),
    "look-up table": linear_probe(build_model("lookup", language), language, task, **sizes),
    "majority class": majority_class(language, task, **sizes),
}

# %% Accuracy over training; a band is one standard error of its baseline
figure, panel = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
accuracy, errors = zip(*((found.value, found.stderr) for found in probed.values()), strict=True)
panel.errorbar(list(probed), accuracy, errors, fmt="C0o-", capsize=3, label="linear probe of bert-2x32")
for (name, found), style in zip(baselines.items(), ("-", "--", ":"), strict=True):
    print(f"{name}: {found}")
    panel.axhline(found.value, color="black", linestyle=style, linewidth=1, label=name)
    panel.axhspan(found.value - found.stderr, found.value + found.stderr, color="black", alpha=0.15, linewidth=0)
panel.set(xscale="log", xlabel="training steps", ylabel="accuracy, task A (share of sentences)")
panel.set_title("bars and bands: one standard error, over 3 repeats (Bayes: over sentences)", fontsize="medium")
panel.legend(loc="center right")
figure.savefig("results/gallery/bayes_ceiling.png")
