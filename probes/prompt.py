"""Prompt tuning: trains input vectors before the text together with a head on a frozen model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ..errors import InputError, at_least, unknown
from ..generators import Language, Sentences, Task
from ..models import LanguageModel
from ..models.interface import TiedHead
from ..randomness import random_stream
from .logistic.raw import fit_raw
from .method import Progress, probe_methods
from .projection import TUNING
from .released import Released, initial_head
from .samples import Samples
from .tuning.ideal import ideal_prompt, with_weights
from .tuning.labelled import Labelled, by_margin, check_labels, check_posterior, labelled
from .tuning.layout import ORDERS, Layout, check_masked, check_order
from .tuning.readings import is_table
from .tuning_probe import TuningProbe

STARTS = ("words", "random")
"""How the vectors of a prompt are initialised."""

READ = ("words", "logits", "feature")
"""What the head may read at the mask."""

CHUNK = 512
"""Test sentences that the model reads at once."""

TABLE_RIDGE = 4e-7
"""The penalty of the head on the exact truth after the ideal prompt; that of the probe `head`."""


@probe_methods.register("prompt")
@dataclass(frozen=True)
class PromptTuning(Released, TuningProbe):
    """K input vectors before the text and a linear head, trained by the released optimiser; the network is frozen.

    The head reads the model's output at a mask. Prompt, mask and text share the T positions of pre-training, so
    T - 1 - K words of the text are read. The optimiser is that of `head-adamw`. The accuracy of the look-up table is
    that of the ideal prompt on the exact truth, which rules out all states that do not affect the label, with a head at
    its optimum.

    Args:
        prompt: K, the number of vectors; 20 as released.
        order: prompt-mask-text, as released, or mask-prompt-text.
        start: initial vectors: words (embeddings of random words), or random (normal, with the standard deviation of
            the words' embeddings). The released code does not say which.
        reads: what the head reads; see `head`.

    Raises:
        InputError: for no vector, another order, start or reading, and for invalid settings of the optimiser.

    Source: Wei, Xie and Ma 2021, 2106.09226, section 5 and its released code.
    """

    prompt: int = 20
    order: str = ORDERS[0]
    start: str = STARTS[0]
    reads: str = "words"

    reads_table = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("prompt", self.prompt, 1)
        check_order(self.order)
        for name, value, valid in (("start", self.start, STARTS), ("reads", self.reads, READ)):
            if value not in valid:
                raise unknown(name, value, valid)

    @override
    def check_use(self, name: str, causal: bool, language: Language, task: Task, samples: Samples) -> None:
        check_masked(causal, name)
        Layout(language.max_length, self.prompt, self.order)
        check_posterior(language, task)
        with_weights(language, task, ", or the method head: without weights no ideal prompt is known")
        check_labels(samples, language, task)

    @override
    def measured(
        self, model: LanguageModel, language: Language, task: Task, samples: Samples, progress: Progress
    ) -> Iterator[tuple[float, dict[str, float]]]:
        check_masked(model.causal, model.name)
        layout = Layout(model.max_length, self.prompt, self.order)
        for one in labelled(samples, language, task):

            def on_epoch(done: int, before: int = one.repeat * self.epochs) -> None:
                progress(before + done, samples.seeds * self.epochs)

            if is_table(model):
                seen, unseen = (ideal_prompt(language, task, some, layout) for some in (one.train, one.test))
                right = fit_raw(seen, one.labels, len(task.classes), TABLE_RIDGE).predict(unseen) == one.expected
                on_epoch(self.epochs)
            else:
                prompted = self.tuned(model, one, len(task.classes), samples.seed, on_epoch)
                right = _predicted(prompted, one.test) == one.expected
            yield float(right.double().mean()), by_margin(task, one.test, right)

    def tuned(
        self,
        model: LanguageModel,
        one: Labelled,
        classes: int,
        seed: int,
        on_epoch: Callable[[int], object] = lambda done: None,
    ) -> "Prompted":
        """Trains a prompt and a head.

        Args:
            model: the model, which is not changed.
            one: the labelled texts of a repeat.
            classes: the number k of classes.
            seed: all randomness is a function of the seed and the repeat's number.
            on_epoch: called with the number of epochs done.

        Returns:
            The model with its prompt and head.

        Raises:
            InputError: for a model without word embeddings, and if training diverges.
        """
        generator = random_stream(seed, "probe", one.repeat, TUNING)
        layout = Layout(model.max_length, self.prompt, self.order)
        prompted = Prompted(model, layout, classes, self.start, self.reads, generator)
        tokens, labels = one.train.tokens, one.labels
        with frozen(model):
            self.train(prompted.trained, lambda rows: prompted.scores(tokens[rows]), labels, generator, on_epoch)
        return prompted


class frozen:  # noqa: N801 - reads as a statement
    """Within the block no weight of the model requires a gradient. Also switches the model to evaluation mode."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model.eval()
        self.asked = [parameter.requires_grad for parameter in model.parameters()]

    def __enter__(self) -> None:
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter, asked in zip(self.model.parameters(), self.asked, strict=True):
            parameter.requires_grad_(asked)


class Prompted:
    """A frozen model that reads K trained vectors as additional words, and a linear head on its output at the mask.

    Args:
        model: a masked network, which is not changed.
        layout: the positions of prompt, mask and text.
        classes: the number k of classes.
        start: one of STARTS.
        reads: one of READ.
        generator: draws the initial vectors and the head.

    Raises:
        InputError: for a model without word embeddings.
    """

    def __init__(
        self, model: LanguageModel, layout: Layout, classes: int, start: str, reads: str, generator: torch.Generator
    ) -> None:
        self.model, self.layout, self.reads = model, layout, reads
        self.table = embedding_name(model)
        embedding = model.get_parameter(self.table)
        words = embedding.detach()[: model.vocab_size]
        if start == STARTS[0]:
            chosen = torch.randint(model.vocab_size, (layout.prompt,), generator=generator)
            vectors = words[chosen.to(words.device)].clone()
        else:
            drawn = torch.randn(layout.prompt, words.shape[1], generator=generator)
            vectors = drawn.to(words) * words.std()
        width = model.feature_size if reads == "feature" else model.num_classes
        weight, bias = initial_head(classes, width, generator)
        self.vectors = nn.Parameter(vectors)
        self.weight, self.bias = nn.Parameter(weight.data.to(words)), nn.Parameter(bias.data.to(words))

    @property
    def trained(self) -> list[nn.Parameter]:
        """The vectors, and the head's weight and bias."""
        return [self.vectors, self.weight, self.bias]

    def answer(self, text: Tensor) -> Tensor:
        """The input of the head for tokens [n, L]: [n, d], with its graph."""
        tokens = self.layout.tokens(self.model, text)
        rows = torch.arange(len(tokens), device=tokens.device)
        longer = torch.cat([self.model.get_parameter(self.table).detach(), self.vectors])
        answer = _Answer(self.model, self.reads)
        places = torch.full_like(rows, self.layout.mask)
        found: Tensor = torch.func.functional_call(answer, {f"model.{self.table}": longer}, (tokens, rows, places))
        return found

    def scores(self, text: Tensor) -> Tensor:
        """Scores [n, k] of tokens [n, L]."""
        return F.linear(self.answer(text), self.weight, self.bias)


class _Answer(nn.Module):
    """The input of a head as a module, so that weights can be replaced for one call."""

    def __init__(self, model: LanguageModel, reads: str) -> None:
        super().__init__()
        self.model, self.reads = model, reads

    def forward(self, tokens: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        features = self.model.features_at(tokens, rows, places)
        if self.reads == "feature":
            return features
        logits = self.model.logits(features)
        return logits if self.reads == "logits" else logits.softmax(1)


def embedding_name(model: LanguageModel) -> str:
    """The name of the parameter that holds the words' embeddings.

    Args:
        model: any model.

    Returns:
        Its name in `model.named_parameters()`.

    Raises:
        InputError: for a model without one.
    """
    for name, module in model.named_modules():
        if isinstance(module, TiedHead):
            return f"{name}.embedding.weight" if name else "embedding.weight"
    raise InputError(f"model '{model.name}' has no embeddings of words to prompt by, expected a bert or lstm model")


@torch.no_grad()
def _predicted(prompted: Prompted, sentences: Sentences) -> Tensor:
    prompted.model.eval()
    parts = sentences.tokens.split(CHUNK)
    return torch.cat([prompted.scores(tokens).argmax(1) for tokens in parts])
