"""From a grammar to flatness against accuracy, in half a minute on a CPU."""

# %% A language with exact conditionals, and its task A
from pathlib import Path

import matplotlib.pyplot as plt

from satlab.flatness import hessian_trace
from satlab.generators import PCFG
from satlab.models import build_model, load_model
from satlab.probes import linear_probe
from satlab.randomness import random_stream
from satlab.train import TrainConfig, Trainer, checkpoints

RULES = "A -> A B [.3] | B B [.2] | 'a' [.3] | 'c' [.2]", "B -> B A [.4] | A A [.1] | 'b' [.3] | 'c' [.2]"
language, out = PCFG.from_string("\n".join(["S -> A [.5] | B [.5]", *RULES]), max_length=6), Path("results/example")
config = TrainConfig(steps=400, lr=3e-3, targets="exact", checkpoints=[50, 150, 400], stop_at_saturation=False)

# %% Train two sizes until KL(truth || model) is negligible: run again, this goes on where it was
trainers = {}
for name in ("bert-1x8", "bert-2x16"):
    trainers[name] = Trainer(build_model(name, language), language, config, out / name)
    for row in trainers[name].rows():
        print(f"{name} step {row.step}: KL {row.kl:.4f} +- {row.kl_stderr:.4f} nats, floor {row.floor:.4f}")

# %% Flatness and the linear probe of every checkpoint; a panel for each size, as plain Tr(H) does not compare sizes
figure, panels = plt.subplots(1, 2, sharey=True, figsize=(9, 4), layout="constrained")
for panel, (name, trainer) in zip(panels, trainers.items(), strict=True):
    for step, folder in checkpoints(out / name):
        model = load_model(folder)
        x = hessian_trace(model, language.sample(1000, random_stream(0, "corpus")))
        y = linear_probe(model, language, language.tasks["A"], 1000, 1000)
        face = "C0" if trainer.is_saturated(model) else "white"
        panel.errorbar(x.value, y.value, y.stderr, x.stderr, "C0o", markerfacecolor=face, capsize=2)
        panel.annotate(f"step {step}", (x.value, y.value), xytext=(5, 5), textcoords="offset points")
    panel.margins(0.25)
    panel.set(title=name, xlabel="Tr(H), nats / parameter²", ylabel="accuracy, task A")
figure.suptitle("bars: one standard error over contexts and over repeats of the probe; hollow: not saturated")
figure.savefig(out / "figure.png")
