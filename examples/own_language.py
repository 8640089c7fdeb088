"""A language of one's own: hmmlearn learns a chain from English letters, and a network learns the chain."""

# %% hmmlearn fits a hidden Markov model to letters of Python's own reference manual
import re
from pathlib import Path
from pydoc_data.topics import topics
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from hmmlearn.hmm import CategoricalHMM

from satlab.generators import HMM
from satlab.models import build_model
from satlab.train import TrainConfig, Trainer

LETTERS = "_abcdefghijklmnopqrstuvwxyz"
text = re.sub("[^a-z]+", "_", " ".join(topics.values()).lower())[:20_000]
fitted = CategoricalHMM(n_components=3, n_features=len(LETTERS), n_iter=60, random_state=0)
fitted.fit(np.array([[LETTERS.index(letter)] for letter in text]))

# %% satlab takes it over: exact conditionals, and training until KL(truth || model) is negligible
language = HMM.from_hmmlearn(fitted, length=8, words=list(LETTERS))
config = TrainConfig(
    steps=3000,
    batch_size=64,
    lr=5e-3,
    schedule="linear",
    targets="exact",
    evaluate_growth=1.4,
    evaluate_every=50,
    checkpoints=[3000],
    evaluation_sentences=1024,
    most_evaluation_sentences=8192,
)
with TemporaryDirectory() as run:
    rows = list(Trainer(build_model("bert-1x32", language), language, config, run).rows())
print(f"KL {rows[-1].kl:.4f} +- {rows[-1].kl_stderr:.4f} nats, saturated at step {rows[-1].saturated_step}")

# %% What the states stand for, and the training
figure, (left, right) = plt.subplots(1, 2, width_ratios=(3, 2), figsize=(9, 3.6), layout="constrained")
picture = left.imshow(fitted.emissionprob_, aspect="auto", cmap="Blues")
left.set(xticks=range(len(LETTERS)), xticklabels=LETTERS, yticks=range(3), xlabel="letter (_: space)", ylabel="state")
left.set_title("three states that hmmlearn found: no error bars", fontsize="medium")
figure.colorbar(picture, ax=left, label="p(letter | state)")
kl, errors = [row.kl for row in rows], [row.kl_stderr for row in rows]
right.errorbar([row.step for row in rows], kl, errors, fmt="C0o-", capsize=3, label="bert-1x32")
right.axhline(config.threshold, color="black", linestyle=":", label="threshold")
right.set(xscale="log", yscale="log", xlabel="training steps", ylabel="KL(truth || model), nats")
right.set_title("bars: one standard error", fontsize="medium")
right.legend()
Path("results/gallery").mkdir(parents=True, exist_ok=True)
figure.savefig("results/gallery/own_language.png")
