"""Fine-tuning: a linear head on one feature, trained together with all weights of the model (Liu et al. 2022, A.4)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language, Sentences, Task
from ..models import MaskedLM
from ..models.ops.fast_linear import FastProducts
from ..randomness import derive_seed, random_stream
from .adamw import check_training
from .projection import TUNING
from .samples import Samples

CHUNK = 256
"""Test sentences that are read at once."""


@dataclass(frozen=True)
class FineTuning:
    """AdamW, lr 1e-4, 200 steps of linear warm-up and 10 epochs as published; the rest follows Devlin et al. 2019 or torch.

    After warm-up the rate falls linearly to 0. Betas 0.9 and 0.999, eps 1e-8, weight decay 0.01, dropout as in
    pre-training, head weights uniform in +- d^(-1/2) to begin with. batch_size 256 is a choice of ours.
    """

    lr: float = 1e-4
    epochs: int = 10
    batch_size: int = 256
    warmup_steps: int = 200

    def __post_init__(self) -> None:
        check_training(self.lr, self.epochs, self.batch_size)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step 1 .. steps."""
        if step <= self.warmup_steps:
            return self.lr * step / self.warmup_steps
        return self.lr * (steps + 1 - step) / (steps + 1 - self.warmup_steps)


class Classifier(nn.Module):
    """A copy of a language model and a linear head on its feature at [CLS], which is put before the words.

    Masked models have not seen [CLS] in pre-training: its embedding is new, and so is its position, the one that no word
    ever has, while words keep theirs. A causal model has always read it, but it has read no word there; its head is on
    the feature of the last word.
    """

    def __init__(self, model: MaskedLM, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        position = getattr(self.model, "position", None)
        if position is not None and not model.causal:
            # The last row, which no word of the longest sentence reads, goes before those of the words.
            position.data = position.data.roll(1, 0)
        weight = next(model.parameters())
        bound = model.feature_size**-0.5
        table = torch.rand(num_classes, model.feature_size + 1, generator=generator, dtype=torch.float64)
        table = ((2 * table - 1) * bound).to(weight)
        self.weight, self.bias = nn.Parameter(table[:, :-1].clone()), nn.Parameter(table[:, -1].clone())

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits [n, classes]."""
        places = lengths if self.model.causal else torch.zeros_like(lengths)
        read = F.pad(tokens, (1, 0), value=self.model.cls_id)
        with FastProducts():
            features = self.model.features_at(read, torch.arange(len(read), device=read.device), places)
        return F.linear(features, self.weight, self.bias)


def fine_tune(
    model: MaskedLM,
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    seed: int = 0,
    how: FineTuning | None = None,
    on_epoch: Callable[[int, int], object] = lambda done, of: None,
) -> Estimate:
    """Test accuracy after fine-tuning on the sentences of the linear probes; the given model stays as it is.

    Each of `seeds` repeats has its own sentences, head and order; value and stderr are over the repeats, n = seeds.
    on_epoch(done, of) is called after each epoch of a repeat.
    Raises InputError for a model without weights, where a number is not positive, and where the weights do not stay finite.
    """
    samples, how = Samples(train_sentences, test_sentences, seeds, seed), how or FineTuning()
    if next(model.parameters(), None) is None:
        raise InputError(f"model '{model.name}' has no weights to fine-tune, expected a bert, gpt or lstm model")
    accuracies = []
    for repeat, (train, test) in enumerate(samples.draw(language, task)):

        def after(epoch: int, before: int = repeat * how.epochs, of: int = seeds * how.epochs) -> None:
            on_epoch(before + epoch, of)

        classifier = tuned(model, train, task.labels(train), len(task.classes), how, seed, repeat, after)
        accuracies.append(_accuracy(classifier, test, task.labels(test)))
    return Estimate.from_samples(torch.tensor(accuracies, dtype=torch.float64))


def tuned(
    model: MaskedLM,
    sentences: Sentences,
    labels: Tensor,
    num_classes: int,
    how: FineTuning,
    seed: int = 0,
    repeat: int = 0,
    on_epoch: Callable[[int], object] = lambda done: None,
) -> Classifier:
    """A classifier trained on labelled sentences; what is drawn is a function of (seed, repeat)."""
    generator = random_stream(seed, "probe", repeat, TUNING)
    classifier = Classifier(model, num_classes, generator).train()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=how.lr)
    device = labels.device
    step, steps = 0, how.epochs * -(-len(labels) // how.batch_size)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Dropout draws from torch's global state, which is given back as it was.
        torch.manual_seed(derive_seed(seed, "probe", repeat, TUNING, 1))
        for epoch in range(how.epochs):
            for rows in torch.randperm(len(labels), generator=generator).to(device).split(how.batch_size):
                step += 1
                for group in optimizer.param_groups:
                    group["lr"] = how.rate(step, steps)
                loss = F.cross_entropy(classifier(sentences.tokens[rows], sentences.lengths[rows]), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            on_epoch(epoch + 1)
    if not bool(loss.isfinite()):
        raise InputError(f"lr is {how.lr:g}: fine-tuning diverged; give a smaller lr")
    return classifier


@torch.no_grad()
def _accuracy(classifier: Classifier, sentences: Sentences, labels: Tensor) -> float:
    classifier.eval()
    parts = zip(sentences.tokens.split(CHUNK), sentences.lengths.split(CHUNK), strict=True)
    predicted = torch.cat([classifier(tokens, lengths).argmax(1) for tokens, lengths in parts])
    return (predicted == labels).double().mean().item()
