"""Fine-tuning: a linear head on one feature, trained together with all weights of the model (Liu et al. 2022, A.4)."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language, Sentences, Task
from ..generators.named import takes_names
from ..models import LanguageModel
from ..models.ops.fast_linear import FastProducts
from ..randomness import derive_seed, random_stream
from ..registry import PYTHON_ONLY
from .adamw import check_training
from .method import ModelProbe, Progress, probe_methods
from .projection import TUNING
from .samples import Samples

CHUNK = 256
"""Test sentences that the model reads at once."""


@probe_methods.register("fine-tune")
@dataclass(frozen=True)
class FineTuning(ModelProbe):
    """Training of all weights and a linear head by AdamW.

    lr, epochs and the linear warm-up are as published. The rest follows Devlin et al. 2019 or torch: after the warm-up
    the rate falls linearly to 0; betas (0.9, 0.999), eps 1e-8, weight decay 0.01; dropout as in pre-training. The
    weights of the head start uniform in +- d^(-1/2).

    Args:
        lr: peak learning rate of AdamW; 1e-4 as published, unless given.
        epochs: passes over the training sentences; 10 as published, unless given.
        batch_size: sentences per step of AdamW.
        warmup_steps: steps over which the learning rate rises from 0.

    Raises:
        InputError: for a learning rate that is not positive, and for epochs or a batch size below 1.

    Source: Liu et al. 2022, 2210.14199, A.4.
    """

    lr: float = 1e-4
    epochs: int = 10
    batch_size: int = 256
    warmup_steps: int = field(default=200, metadata=PYTHON_ONLY)

    def __post_init__(self) -> None:
        check_training(self.lr, self.epochs, self.batch_size)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, 1 <= step <= steps."""
        if step <= self.warmup_steps:
            return self.lr * step / self.warmup_steps
        return self.lr * (steps + 1 - step) / (steps + 1 - self.warmup_steps)

    @override
    def row_settings(self) -> dict[str, Any]:
        # Without the probe's name, which rows of earlier versions lack too.
        return asdict(self)

    @override
    def accuracies(
        self,
        model: LanguageModel,
        language: Language,
        task: Task,
        samples: Samples,
        progress: Progress = lambda done, total: None,
    ) -> Sequence[float]:
        if next(model.parameters(), None) is None:
            raise InputError(f"model '{model.name}' has no weights to fine-tune, expected a bert, gpt or lstm model")
        found = []
        for repeat, (train, test) in enumerate(samples.draw(language, task)):

            def after(epoch: int, before: int = repeat * self.epochs) -> None:
                progress(before + epoch, samples.seeds * self.epochs)

            labels, classes = task.labels(train), len(task.classes)
            classifier = tuned(model, train, labels, classes, self, samples.seed, repeat, after)
            found.append(_accuracy(classifier, test, task.labels(test)))
        return found


class SentenceClassifier(nn.Module):
    """A copy of a language model, which reads [CLS] before the words, and a linear head on one of its features.

    In a masked model the head reads the feature of [CLS]. Pre-training has trained neither its embedding nor its
    position, which no word has; the words keep theirs. In a causal model, whose feature at [CLS] depends on no word,
    the head reads the feature of the last word.

    Args:
        model: the model to copy.
        num_classes: the number k of classes.
        generator: draws the initial head.
    """

    def __init__(self, model: LanguageModel, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        position = getattr(self.model, "position", None)
        if position is not None and not model.causal:
            # Moves the last row, which no word uses, to the front for [CLS].
            position.data = position.data.roll(1, 0)
        weight = next(model.parameters())
        bound = model.feature_size**-0.5
        table = torch.rand(num_classes, model.feature_size + 1, generator=generator, dtype=torch.float64)
        table = ((2 * table - 1) * bound).to(weight)
        self.weight, self.bias = nn.Parameter(table[:, :-1].clone()), nn.Parameter(table[:, -1].clone())

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits [n, k] of tokens [n, T] and lengths [n]."""
        places = lengths if self.model.causal else torch.zeros_like(lengths)
        read = F.pad(tokens, (1, 0), value=self.model.cls_id)
        with FastProducts():
            features = self.model.features_at(read, torch.arange(len(read), device=read.device), places)
        return F.linear(features, self.weight, self.bias)


@takes_names
def fine_tune(
    model: LanguageModel,
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    seed: int = 0,
    how: FineTuning | None = None,
    on_epoch: Progress = lambda done, total: None,
) -> Estimate:
    """Measures the test accuracy after fine-tuning, on the same sentences as the linear probes.

    The given model is not changed. Each repeat has its own sentences, initial head and order of sentences.

    Args:
        model: a copy of it is trained.
        language: the language of the task.
        task: gives the labels.
        train_sentences: sentences to train on, in each repeat.
        test_sentences: sentences on which the accuracy is measured, in each repeat.
        seeds: the number of repeats.
        seed: seed of the repeats.
        how: the settings; as published unless given.
        on_epoch: called with (epochs done, epochs in total) after each epoch of a repeat.

    Returns:
        Mean and standard error over the repeats; n is their number.

    Raises:
        InputError: for a model without weights, a number that is not positive, and if training diverges.

    Example:
        >>> from satlab.generators import find_task, load_language
        >>> from satlab.models import build_model
        >>> language = load_language("demo-hmm")
        >>> model, task = build_model("bert-1x8", language), find_task(language, "state-1")
        >>> accuracy = fine_tune(model, language, task, 64, 64, seeds=2, how=FineTuning(epochs=1))
        >>> accuracy.n, 0 <= accuracy.value <= 1
        (2, True)
    """
    samples = Samples(train_sentences, test_sentences, seeds, seed)
    return (how or FineTuning()).accuracy(model, language, task, samples, on_epoch)


def tuned(
    model: LanguageModel,
    sentences: Sentences,
    labels: Tensor,
    num_classes: int,
    how: FineTuning,
    seed: int = 0,
    repeat: int = 0,
    on_epoch: Callable[[int], object] = lambda done: None,
) -> SentenceClassifier:
    """Trains a classifier on labelled sentences.

    Args:
        model: a copy of it is trained.
        sentences: n sentences.
        labels: [n], each in 0 .. num_classes - 1.
        num_classes: the number of classes.
        how: the settings.
        seed: all randomness is a function of (seed, repeat).
        repeat: the number of the repeat.
        on_epoch: called with the number of epochs done after each epoch.

    Returns:
        The trained classifier.

    Raises:
        InputError: if the last loss is not finite.
    """
    generator = random_stream(seed, "probe", repeat, TUNING)
    classifier = SentenceClassifier(model, num_classes, generator).train()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=how.lr)
    device = labels.device
    step, steps = 0, how.epochs * -(-len(labels) // how.batch_size)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Dropout draws from torch's global random state, which is restored at the end.
        torch.manual_seed(derive_seed(seed, "probe", repeat, TUNING, 1))
        for epoch in range(how.epochs):
            order = torch.randperm(len(labels), generator=generator).to(device)
            for rows in torch.split(order, how.batch_size):
                step += 1
                for group in optimizer.param_groups:
                    group["lr"] = how.rate(step, steps)
                loss = F.cross_entropy(classifier(sentences.tokens[rows], sentences.lengths[rows]), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
            on_epoch(epoch + 1)
    if not bool(loss.isfinite()):
        raise InputError(f"lr is {how.lr:g}: fine-tuning diverged; give a smaller lr")
    return classifier


@torch.no_grad()
def _accuracy(classifier: SentenceClassifier, sentences: Sentences, labels: Tensor) -> float:
    classifier.eval()
    parts = zip(torch.split(sentences.tokens, CHUNK), torch.split(sentences.lengths, CHUNK), strict=True)
    predicted = torch.cat([classifier(tokens, lengths).argmax(1) for tokens, lengths in parts])
    return (predicted == labels).double().mean().item()
