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

# %% Train two sizes until KL(truth || model) is negligible: run again, this goes on where it was
for name in ("bert-1x8", "bert-2x16"):
    stream = Stream(language, config.batch_size, config.seed)
    for row in train(
        build_model(name, language), stream, HeldOut(language, config), config, out / name, time.monotonic
    ):
        print(f"{name} step {row.step}: KL {row.kl:.4f} +- {row.kl_stderr:.4f} nats, floor {row.floor:.4f}")

    # %% Flatness and the linear probe of every checkpoint
    models = [load_model(folder) for _, folder in checkpoints(out / name)]
    traces = [hessian_trace(model, sentences) for model in models]
    accuracies = [linear_probe(model, language, language.tasks["A"], 1000, 1000) for model in models]
    x, y, dx, dy = ([getattr(e, key) for e in es] for key in ("value", "stderr") for es in (traces, accuracies))
    plt.errorbar(x, y, dy, dx, "o-", label=name)
plt.gca().set(xscale="log", xlabel="Tr(H)", ylabel="accuracy, task A", title="bars: one standard error")
plt.legend()
plt.savefig(out / "figure.png")
