"""Probes on what a causal network says about labelled texts: features on disk, shard by shard, then rows.

A directory holds features/FINGERPRINT/ (the features of the last token of one file's texts, with or without the
prompt), probes.jsonl (a row for each number) and representations-NAME.safetensors (all representations but p_f, with
the settings of the last call). A shard is whole or absent, so that interrupted work goes on where it was.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from ...errors import InputError
from ...estimate import Estimate
from ...generators.labelled.texts import LabelledTexts
from ...probes.feature_store import Features, FeatureStorage
from ...probes.next_word import SUBSET
from ...probes.optimum import Optimum
from ...probes.texts.reader import TextReader
from ...probes.texts.representations import NAMES, Head
from ...randomness import random_stream
from ...system.disk import write_atomic
from .measure import Row, measured, values_of
from .text_config import TextConfig

ROWS, FEATURES, PROBED = "probes.jsonl", "features", "representations-{}.safetensors"

SUBSETS = "subset", "class-words"
"""The representations that are logits of some words."""

SHARD = 256
"""Texts whose features a file holds."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Side:
    """Texts on one side of the split.

    Args:
        labels: [n].
        f: their features [n, d].
    """

    labels: Tensor
    f: Tensor


class TextProbes:
    """Everything that is measured on a network and a file of texts.

    Args:
        reader: the network.
        train: labelled texts.
        test: those that the probes are tested on; a share of the first unless given.
        config: the settings.
        out: the directory.
        storage: where p_f is kept.

    Raises:
        InputError: for words that are not single tokens, a prompt that leaves no room, and a directory that holds
            something else.
    """

    def __init__(
        self,
        reader: TextReader,
        train: LabelledTexts,
        test: LabelledTexts | None,
        config: TextConfig,
        out: Path,
        storage: FeatureStorage,
    ) -> None:
        self.reader, self.train, self.test, self.config, self.out = reader, train, test, config, out
        self.storage, self.head = storage, Head(reader.phi, reader.bias)
        self.given = {
            name: None if text is None else reader.words(text, name)
            for name, text in (("class_words", config.class_words), ("subset", config.subset))
        }
        files = [train] if test is None else [train, test]
        self.prompts = [None] if config.prompt is None else [None, config.prompt]
        self.ids = {prompt: [reader.encode(each.texts, prompt) for each in files] for prompt in self.prompts}
        ours = any((out / name).exists() for name in (ROWS, FEATURES))
        if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} holds something else, expected a new or empty directory; choose another --out")

    @property
    def total(self) -> int:
        """Texts to be read in all, once for each prompt."""
        return sum(len(ids) for of_prompt in self.ids.values() for ids in of_prompt)

    def rows(self, on_texts: Progress = lambda texts: None, on_probe: Progress = lambda probes: None) -> Iterator[Row]:
        """Reads the texts and fits the probes; what is on disk is not done again.

        Args:
            on_texts: called with k when k more texts are read.
            on_probe: called with 1 after each representation.

        Yields:
            Accuracy and cross-entropy on the test texts of the most frequent class, then of each representation.
        """
        read = {prompt: [self._features(ids, on_texts) for ids in of_prompt] for prompt, of_prompt in self.ids.items()}
        for number, (prompt, found) in enumerate(read.items()):
            work = _Work(self, *self._sides(found))
            for name in ("majority", *NAMES) if number == 0 else NAMES:
                key = self._key(prompt, name)
                yield from measured(self.out / ROWS, key, partial(work.rows, name))
                on_probe(1)
            path = self.out / PROBED.format("plain" if prompt is None else "prompt")
            settings = str(self._key(prompt, SUBSETS[0])["settings"])
            if _settings_of(path) != settings:
                work.write(path, settings)

    def _features(self, ids: Sequence[Sequence[int]], on_texts: Progress) -> Tensor:
        """f [n, d] of texts, shard by shard."""
        folder = self.out / FEATURES / self.reader.fingerprint(ids)[:16]
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for begin in range(0, len(ids), SHARD):
            these, path = ids[begin : begin + SHARD], folder / f"{begin // SHARD:05}.safetensors"
            f = _shard(path, len(these), self.reader.phi.shape[0])
            if f is None:
                f = self.reader.features(these, self.config.batch_size).cpu().contiguous()
                write_atomic(path, safetensors.torch.save({"features": f}))
            parts.append(f)
            on_texts(len(these))
        return torch.cat(parts)

    def _sides(self, found: list[Tensor]) -> tuple[Side, Side]:
        """The texts to fit, in random order since validation takes the last ones, and those to test."""
        labels = torch.tensor(self.train.labels)
        order = torch.randperm(len(labels), generator=random_stream(self.config.seed, "probe", 0, 3))
        if self.test is not None:
            return Side(labels[order], found[0][order]), Side(torch.tensor(self.test.labels), found[1])
        tested = torch.zeros(len(labels), dtype=torch.bool)
        for k in range(len(self.train.classes)):
            of_class = order[labels[order] == k]
            count = min(len(of_class) - 1, max(1, round(self.config.held_out * len(of_class))))
            tested[of_class[:count]] = True
        rest, held = order[~tested[order]], tested.nonzero()[:, 0]
        return Side(labels[rest], found[0][rest]), Side(labels[held], found[0][held])

    def _key(self, prompt: str | None, name: str) -> Row:
        config, words = self.config, {}
        if name in SUBSETS:
            words = {"words_each": config.words_each, "class_words": config.class_words, "subset": config.subset}
        settings = {
            "network": self.reader.pretrained.sha256,
            "texts": self.train.sha256,
            "test": None if self.test is None else self.test.sha256,
            "held_out": None if self.test else config.held_out,
            **{key: getattr(config, key) for key in ("label", "columns", "longest", "l2", "seed")},
            **words,
        }
        key: Row = {"what": "text probe", "method": "majority" if name == "majority" else "linear"}
        key |= {} if name == "majority" else {"representation": name, "prompt": prompt}
        return key | {"settings": json.dumps(settings, sort_keys=True)}


def _shard(path: Path, rows: int, width: int) -> Tensor | None:
    """The features [rows, width] that a file holds; None if it is missing or, with one warning, if it is damaged."""
    if not path.exists():
        return None
    try:
        found = safetensors.torch.load_file(path)["features"]
    except (SafetensorError, KeyError):
        found = torch.empty(0)
    if found.shape == (rows, width):
        return found
    warnings.warn(f"{path}: damaged; its {rows} texts are read again", stacklevel=2)
    return None


def _settings_of(path: Path) -> str | None:
    """The settings with which the representations of a file were made; None if it is missing or damaged."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("settings")
    except (OSError, SafetensorError):
        return None


class _Work:
    """The probes of one prompt; representations are made when the first is asked for."""

    def __init__(self, probes: TextProbes, fitted: Side, tested: Side) -> None:
        self.probes, self.fitted, self.tested = probes, fitted, tested
        self.classes = len(probes.train.classes)

    @cached_property
    def words(self) -> dict[str, Tensor]:
        """The words of the subset and the class words."""
        config, given, head = self.probes.config, self.probes.given, self.probes.head
        each = {"class_words": config.words_each, "subset": -(-SUBSET // self.classes)}
        made = {
            name: head.class_words(self.fitted.f, self.fitted.labels, self.classes, each[name])
            if given[name] is None
            else given[name]
            for name in each
        }
        return {name: words for name, words in made.items() if words is not None}

    @cached_property
    def stores(self) -> list[dict[str, Features]]:
        """The representations of the texts to fit and of those to test."""
        chosen, head = self.words, self.probes.head
        given = chosen["subset"], chosen["class_words"], self.probes.storage
        return [head.representations(side.f, *given) for side in (self.fitted, self.tested)]

    def rows(self, name: str) -> list[Row]:
        """Accuracy and cross-entropy of a representation, or of the most frequent class."""
        labels = self.tested.labels
        more: Row = {}
        if name == "majority":
            shares = self.fitted.labels.bincount(minlength=self.classes).double() / len(self.fitted.labels)
            log_p = shares.log().expand(len(labels), -1)
        else:
            seen, unseen = (side[name] for side in self.stores)
            fit = Optimum(l2=self.probes.config.l2).fit(seen, self.fitted.labels, self.classes)
            log_p = torch.cat([fit.scores(part).log_softmax(1).cpu() for _, part in unseen.in_order()])
            more = {"l2": fit.l2, "width": seen.width}
        if name in SUBSETS:
            more["words"] = self.probes.reader.spelled(self.words[name.replace("-", "_")])
        right = (log_p.argmax(1) == labels).double()
        loss = F.cross_entropy(log_p, labels, reduction="none")
        about = {"file": self.probes.train.file, "train_texts": len(self.fitted.labels), "classes": self.classes} | more
        return [
            {"quantity": "accuracy"} | values_of(Estimate.from_samples(right)) | {"unit": "accuracy"} | about,
            {"quantity": "cross-entropy"} | values_of(Estimate.from_samples(loss)) | {"unit": "nats"} | about,
        ]

    def write(self, path: Path, settings: str) -> None:
        """Writes labels and representations of both sides, p_f left out, since f gives it, and the settings."""
        tensors: dict[str, Tensor] = {}
        for side, name, store in zip((self.fitted, self.tested), ("train", "test"), self.stores, strict=True):
            tensors[f"{name}.labels"] = side.labels
            for kind, kept in store.items():
                if kind != "probabilities" and kept.memory is not None:
                    tensors[f"{name}.{kind}"] = kept.memory
        tensors |= {f"words.{name}": words.cpu() for name, words in self.words.items()}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        write_atomic(path, safetensors.torch.save(tensors, {"settings": settings}))
