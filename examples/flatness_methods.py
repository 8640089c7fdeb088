"""Tr(H) of one checkpoint by every method that estimates it, with standard errors, beside the seconds of each."""

# %% A model to measure
import time
from pathlib import Path

import matplotlib.pyplot as plt

from satlab.flatness import flatness_measures, hessian_trace, trace_methods
from satlab.generators import load_language
from satlab.models import build_model
from satlab.randomness import random_stream
from satlab.train import TrainConfig, Trainer

language, run = load_language("demo-hmm"), Path("results/gallery/flatness_methods")
model = build_model("bert-1x16", language)
config = TrainConfig(steps=800, batch_size=64, lr=3e-3, schedule="linear", targets="exact", evaluate_every=800)
for row in Trainer(model, language, config, run).rows():
    print(f"step {row.step}: KL {row.kl:.4f} +- {row.kl_stderr:.4f} nats")

# %% Every method on the same sentences; the residual, Tr(H) - Tr(G), is an estimate of neither
sentences = language.sample(2000, random_stream(0, "corpus"))
found = {}
for name in trace_methods():
    if name != "residual":
        hessian_trace(model, sentences[:200], name, language=language)  # what is done once in a process is not timed
        begun = time.perf_counter()
        trace = hessian_trace(model, sentences, name, language=language)
        found[name] = trace, time.perf_counter() - begun
        print(f"{name}: {trace}, {found[name][1]:.2f} s")

# %% Values and seconds, side by side; by colour whose trace it is
names = sorted(found, key=lambda name: found[name][0].stderr)
colours = ["C0" if flatness_measures[name].gauss_newton else "C1" for name in names]
figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(9, 3.8), layout="constrained")
for y, (name, colour) in enumerate(zip(names, colours, strict=True)):
    trace, seconds = found[name]
    left.errorbar(trace.value, y, xerr=trace.stderr, fmt="o", color=colour, capsize=3)
    left.annotate(f"± {trace.stderr:.2g}", (trace.value, y + 0.2), ha="center")
    right.barh(y, seconds, color=colour)
    right.annotate(f" {seconds:.2g} s", (seconds, y), va="center")
left.set(yticks=range(len(names)), yticklabels=names, xlabel="trace, nats / parameter²")
left.margins(y=0.12)
right.set(xscale="log", xlabel="seconds on one CPU thread (one run)")
right.margins(x=0.25)
figure.suptitle(
    f"blue: Tr(G), orange: Tr(H); bars: one standard error over {len(sentences):,} sentences or 100 random vectors",
    fontsize="medium",
)
figure.savefig("results/gallery/flatness_methods.png")
