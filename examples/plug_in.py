"""A plug-in in the script itself: Tr(H) from differences of the loss, without a gradient, beside built-in methods."""

# %% The measure: over random signs v, E (L(theta + h v) - 2 L(theta) + L(theta - h v)) / h^2 = Tr(H) + O(h^2)
import copy
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from satlab.estimate import Estimate
from satlab.flatness import FlatnessMeasure, Measurement, Problem, flatness_measures
from satlab.generators import load_language
from satlab.models import build_model, load_model
from satlab.randomness import random_stream
from satlab.train import TrainConfig, Trainer, checkpoints, masked_loss


@flatness_measures.register("differences")
@dataclass(frozen=True)
class Differences(FlatnessMeasure):
    """Tr(H) from the loss alone, by 200 vectors with contexts of their own; h is how far each weight moves."""

    h: float = 1e-3
    what = "hessian_trace"

    @torch.no_grad()
    def measure(self, model, problem):
        """Yields the total."""
        given, moved = problem.given(model, None), copy.deepcopy(model).double().eval()
        weights, terms = parameters_to_vector(moved.parameters()), []
        for mine in torch.arange(len(given.batch.inputs)).tensor_split(200):
            part, _ = given.batch.select(slice(int(mine[0]), int(mine[-1]) + 1))
            losses, v = [], torch.randint(0, 2, weights.shape, generator=given.generator) * 2 - 1
            for step in (-self.h, 0, self.h):
                vector_to_parameters(weights + step * v, moved.parameters())
                losses.append(masked_loss(moved, part))
            terms.append((losses[0] - 2 * losses[1] + losses[2]) / self.h**2)
        yield Measurement(Estimate.from_samples(torch.stack(terms)))


# %% Checkpoints to measure
language, run = load_language("demo-hmm"), Path("results/gallery/plug_in")
config = TrainConfig(steps=800, batch_size=64, lr=3e-3, checkpoints=[50, 100, 200, 400], targets="exact")
list(Trainer(build_model("bert-1x16", language), language, config, run).rows())

# %% The plug-in and two built-in measures, all by their registered names
problem = Problem(language.sample(2000, random_stream(0, "corpus")))
figure, panel = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for i, name in enumerate(("differences", "hutchinson", "random-factor")):
    for k, (step, folder) in enumerate(checkpoints(run)):
        found = next(flatness_measures[name]().measure(load_model(folder), problem)).estimate  # the total comes first
        print(f"{name}, step {step}: {found}")
        panel.errorbar(k + i / 10, found.value, found.stderr, fmt=f"C{i}o", capsize=3, label=None if k else name)
panel.set(xticks=range(5), xticklabels=config.kept_steps, ylabel="trace, nats / parameter²")
panel.set_xlabel("training steps; bars: one standard error over contexts and vectors")
panel.legend()
figure.savefig("results/gallery/plug_in.png")
