"""Saturation: KL(truth || model) against steps for three ways of training the same network."""

# %% A grammar over three words, and three ways to learn it
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

from satlab.generators import PCFG
from satlab.models import build_model
from satlab.train import TrainConfig, Trainer

RULES = "A -> A B [.3] | B B [.2] | 'a' [.3] | 'c' [.2]", "B -> B A [.4] | A A [.1] | 'b' [.3] | 'c' [.2]"
language = PCFG.from_string("\n".join(["S -> A [.5] | B [.5]", *RULES]), max_length=6)
ways = {
    "sampled words, AdamW": {"lr": 3e-3},
    "exact targets, AdamW": {"lr": 3e-3, "targets": "exact"},
    "exact targets, Muon": {"lr": 3e-3, "targets": "exact", "optimizer": "muon"},
}
shared = {"steps": 1000, "batch_size": 64, "schedule": "linear", "stop_at_saturation": False, "checkpoints": [1000]}
rows = {"evaluate_every": 50, "evaluate_growth": 1.3, "evaluation_sentences": 1024, "most_evaluation_sentences": 4096}

# %% Train; a row holds KL on held-out sentences with its standard error
curves = {}
for name, way in ways.items():
    config = TrainConfig(threshold=0.004, **shared, **rows, **way)
    with TemporaryDirectory() as run:
        curves[name] = list(Trainer(build_model("bert-1x16", language), language, config, run).rows())
    last = curves[name][-1]
    print(f"{name}: KL {last.kl:.5f} +- {last.kl_stderr:.5f} nats, saturated from step {last.saturated_step}")

# %% The curves, and the step from which each is saturated
figure, panel = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for number, (name, rows) in enumerate(curves.items()):
    steps, kl = [row.step for row in rows], [row.kl for row in rows]
    bars = panel.errorbar(steps, kl, [row.kl_stderr for row in rows], fmt="-", color=f"C{number}", capsize=2)
    for row in rows:
        panel.plot(row.step, row.kl, "o", color=f"C{number}", markerfacecolor=None if row.saturated else "white")
    bars.set_label(name)
panel.axhline(0.004, color="black", linestyle=":", label="threshold")
panel.set(xscale="log", yscale="log", xlabel="training steps", ylabel="KL(truth || model), nats a prediction")
panel.set_title("bars: one standard error over held-out sentences; filled: saturated", fontsize="medium")
panel.legend()
Path("results/gallery").mkdir(parents=True, exist_ok=True)
figure.savefig("results/gallery/saturation.png")
