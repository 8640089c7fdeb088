"""From a grammar to flatness against accuracy in a minute on a CPU: python examples/grammar_to_figure.py [DIR]"""

# %% A language whose conditional probabilities are known exactly, and a task on it
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt

from satlab.flatness import hessian_trace
from satlab.generators import PCFG
from satlab.generators.stream import Stream
from satlab.models import build_model, load_model
from satlab.probes import linear_probe
from satlab.randomness import random_stream
from satlab.train import HeldOut, TrainConfig, checkpoints, train

GRAMMAR = "S -> A [.5] | B [.5]\nA -> A B [.3] | B B [.2] | 'a' [.3] | 'c' [.2]\nB -> B A [.4] | A A [.1] | 'b' [.3] | 'c' [.2]"
out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/example")
language = PCFG.from_string(GRAMMAR, max_length=6)
sentences = language.sample(1000, random_stream(0, "corpus"))
config = TrainConfig(steps=1000, batch_size=64, lr=3e-3, schedule="linear", threshold=0.004, stop_at_saturation=False)
held_out = HeldOut(language, config)

# %% Train two sizes until KL(truth || model) is negligible: run again, this goes on where it was
for name, color in {"bert-1x8": "C0", "bert-2x16": "C1"}.items():
    parts = (build_model(name, language), Stream(language, config.batch_size, config.seed), held_out)
    for row in train(*parts, config, out / name, time.monotonic):
        print(f"{name} step {row.step}: KL {row.kl:.4f} +- {row.kl_stderr:.4f} nats, floor {row.floor:.4f}")

    # %% Flatness and the linear probe of every checkpoint
    for step, folder in checkpoints(out / name):
        model = load_model(folder)
        x, y = hessian_trace(model, sentences), linear_probe(model, language, language.tasks["A"], 1000, 1000)
        face = color if held_out.rule.holds(held_out.measure(model).kl) else "white"
        plt.errorbar(x.value, y.value, y.stderr, x.stderr, "o", c=color, mfc=face, label=f"{name} step {step}")
plt.gca().set(xscale="log", xlabel="Tr(H)", ylabel="accuracy, task A", title="bars: s.e.; hollow: not saturated")
plt.legend()
plt.savefig(out / "figure.png")
