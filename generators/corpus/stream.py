"""Training batches from the sentences of a corpus, with a new random order in each pass over the corpus."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..batches import Stream
from ..language import Language
from ..sentences import Sentences
from .manifest import Corpus


@dataclass(frozen=True)
class _Visit:
    """A shard in one pass.

    Args:
        begin: the index of its first sentence, counted over all passes.
        tokens: its sentences in the order of this pass, [rows, T].
        lengths: the lengths of these sentences, [rows].
    """

    begin: int
    tokens: Tensor
    lengths: Tensor


class CorpusStream(Stream):
    """Batches of a corpus's sentences. batch(step) depends only on (corpus, seed, step).

    Each pass takes the shards in a random order, and the sentences within each shard in a random order. Sentences are
    independent, so mixing the shards would not make the order more random. A step reads only the shards that contain
    its sentences, and each pass draws new hidden positions.

    Raises:
        InputError: for an unfinished corpus or a corpus of another language; in `batch`, for a shard that is missing or
            damaged.
    """

    def __init__(self, corpus: Corpus, language: Language, batch_size: int, seed: int, masking: str = "one") -> None:
        super().__init__(language, batch_size, seed, masking)
        if not corpus.manifest["complete"]:
            raise InputError(
                f"{corpus.folder}: the corpus is unfinished, expected {corpus.manifest['sentences']} sentences; "
                "run its satlab generate command again to go on"
            )
        if language.fingerprint() != corpus.manifest["fingerprint"]:
            raise InputError(
                f"{corpus.folder}: sentences of another language, expected the language that "
                f"{corpus.language_file.name} held when they were made; leave max_length out, or restore that file"
            )
        self.corpus = corpus
        self._visit = self._visit_at(0)

    @override
    def sentences(self, step: int, generator: torch.Generator) -> Sentences:
        begin = (step - 1) * self.batch_size
        place, parts = begin, []
        while place < begin + self.batch_size:
            if not 0 <= place - self._visit.begin < len(self._visit.tokens):
                self._visit = self._visit_at(place)
            rows = slice(place - self._visit.begin, begin + self.batch_size - self._visit.begin)
            parts.append(Sentences(self._visit.tokens[rows], self._visit.lengths[rows]))
            place += len(parts[-1])
        tokens, lengths = torch.cat([part.tokens for part in parts]), torch.cat([part.lengths for part in parts])
        return Sentences(tokens.long(), lengths).to(self.language.device)

    def _visit_at(self, place: int) -> _Visit:
        """The shard that contains this index, counted over all passes from 0."""
        number, within = divmod(place, self.corpus.manifest["sentences"])
        order = torch.randperm(len(self.corpus), generator=random_stream(self.seed, "epochs", number))
        ends = torch.tensor([self.corpus.rows(shard) for shard in order.tolist()]).cumsum(0)
        turn = int(torch.searchsorted(ends, within, right=True))
        shard = int(order[turn])
        words, lengths = self.corpus.tokens(shard)
        tokens = np.full((len(lengths), self.language.max_length), self.language.pad_id, np.int32)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = words
        rows = torch.randperm(len(lengths), generator=random_stream(self.seed, "epochs", number, shard))
        begin = place - within + int(ends[turn]) - len(rows)
        return _Visit(begin, torch.from_numpy(tokens)[rows], torch.from_numpy(lengths.astype(np.int64))[rows])
