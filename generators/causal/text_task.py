"""The task "text": the label of real text, for models trained on a causal network's language.

The texts are read by the network's own tokenizer. Tokens that the language lacks are refused, left out, or read as one
of its words; what is beyond the longest sentence is cut off.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, unknown
from ...estimate import Estimate
from ..labelled.texts import LabelledTexts, read_labelled
from ..sentences import Sentences
from ..tasks import Sampler, Task, TaskKind, latent, task_kinds
from .language import CausalLM
from .pretrained import load_tokenizer

REFUSE, DROP, MAP = "refuse", "drop", "map:"

LABEL = "text_label"
"""The latent variable that is the label."""


@task_kinds.register("text")
@dataclass(frozen=True)
class TextKind(TaskKind[CausalLM]):
    """Labels of the texts in a file, such as SST-2 and QNLI.

    Args:
        file: a .tsv, .csv or .parquet file.
        outside: what becomes of a token that is no word of the language: refuse, drop, or map:WORD.
        label: the column of the labels, by name or number; found by its usual names unless given.
        columns: the columns of the texts, separated by commas; found by their usual names unless given.
    """

    file: str
    outside: str = REFUSE
    label: str | None = None
    columns: str | None = None

    needs = CausalLM
    order = 90

    @override
    def tasks(self, language: CausalLM) -> Iterator[Task]:
        yield TextTask(self.name, language, read_labelled(self.file, self.label, self.columns), self.outside)


class TextTask(Task):
    """The label of a text. Its sentences are those of the file, each at most once.

    Args:
        name: of the task.
        language: whose words the texts are read in.
        texts: the texts with their labels.
        outside: what becomes of a token that is no word of the language.

    Raises:
        InputError: for an `outside` that is none, a text with a word that the language lacks where that is refused, and
            for texts of which no word is left.
    """

    own_inputs = True

    def __init__(self, name: str, language: CausalLM, texts: LabelledTexts, outside: str) -> None:
        self.name, self.classes, self.file = name, texts.classes, texts.file
        instead = _instead(language, outside)
        number = {token: word for word, token in enumerate(language.token_ids)}
        found = load_tokenizer(language.model)(list(texts.texts), add_special_tokens=False)
        rows: list[list[int]] = []
        labels, lacking = [], 0
        for text, ids, label in zip(texts.texts, found["input_ids"], texts.labels, strict=True):
            words = [number.get(token, instead) for token in ids]
            if None in words and outside == REFUSE:
                raise _outside(texts.file, text, language, found.tokens(len(rows)), words)
            kept = [word for word in words if word is not None][: language.max_length]
            lacking += not kept
            if kept:
                rows.append(kept)
                labels.append(label)
        if not rows:
            raise InputError(
                f"{texts.file}: no text has a word of the language, expected some; map the other words to one of "
                f"its words with outside={MAP}WORD"
            )
        if lacking:
            warnings.warn(
                f"{texts.file}: {lacking} texts have no word of the language; they are left out", stacklevel=2
            )
        self.rows, self.text_labels = rows, torch.tensor(labels)
        self.pad_id = language.pad_id

    @override
    def inputs(self, language: Sampler, num_sentences: int, generator: torch.Generator) -> Sentences:
        if num_sentences > len(self.rows):
            raise InputError(
                f"{self.file} has {len(self.rows)} texts, expected at least {num_sentences} for training and test "
                "together; ask for fewer sentences"
            )
        order = torch.randperm(len(self.rows), generator=generator, device=generator.device)[:num_sentences].cpu()
        rows = [self.rows[row] for row in order.tolist()]
        lengths = torch.tensor([len(row) for row in rows])
        tokens = torch.full((len(rows), int(lengths.max()) if rows else 1), self.pad_id)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.tensor(row)
        device = language.device
        return Sentences(tokens.to(device), lengths.to(device), {LABEL: self.text_labels[order].to(device)})

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        return latent(sentences, LABEL)

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        """That of the file as it is: the share of its texts whose label is the commonest among texts of the same words.

        Args:
            num_sentences: not read, since all texts are.
            generator: not read.

        Returns:
            The share, which is exact.
        """
        pairs = zip(map(tuple, self.rows), self.text_labels.tolist(), strict=True)
        best: Counter[tuple[int, ...]] = Counter()
        for (words, _), count in Counter(pairs).items():
            best[words] = max(best[words], count)
        return Estimate(best.total() / len(self.rows), 0.0, len(self.rows))


def _instead(language: CausalLM, outside: str) -> int | None:
    """The word as which others are read, if any."""
    if outside in (REFUSE, DROP):
        return None
    if not outside.startswith(MAP):
        raise InputError(f"outside is '{outside}', expected {REFUSE}, {DROP} or {MAP}WORD; correct it")
    word = outside.removeprefix(MAP)
    if word not in language.words:
        raise unknown("word", word, language.words[:2000])
    return language.words.index(word)


def _outside(file: str, text: str, language: CausalLM, tokens: list[str], words: list[int | None]) -> InputError:
    token = tokens[words.index(None)]
    return InputError(
        f"{file}: '{token:.40}' in '{text:.40}' is not among the {language.vocab_size} words of the "
        f"language, expected only these; leave other words out with outside={DROP}, or replace them by one "
        f"with outside={MAP}WORD"
    )
