"""How many parameters a model has, by formula, so that none need be built to know.

With d the width, L the layers, V words, sentences of at most T; tied weights once, biases included:

    embeddings          (V + 3) d, of transformers + (T + 1) d;    output biases  V, of a GPT  V + 1
    a transformer block 12 d^2 + 13 d;    final norm or norm of the embedding  2 d;    BERT's head transform  d^2 + 3 d
    an LSTM layer       both directions 16 d^2 + 16 d, from the second on 24 d^2 + 16 d;    join, once  2 d^2 + d
    a residual layer    18 d^2 + 19 d (norm, both directions, join);    final norm  2 d
"""

from dataclasses import dataclass

from ..generators.vocabulary import SPECIAL_TOKENS


@dataclass(frozen=True)
class Count:
    """Numbers of parameters, tied weights once. embeddings: those of words (special tokens included) and positions."""

    total: int
    embeddings: int

    @property
    def without_embeddings(self) -> int:
        return self.total - self.embeddings


def count_of(kind: str, layers: int, width: int, vocab_size: int, max_length: int) -> Count:
    """The count of a model of such a kind (bert, bert-post, gpt, lstm or lstm-residual) and size."""
    d, square = width, width * width
    embeddings, biases, norm = (vocab_size + SPECIAL_TOKENS) * d, vocab_size, 2 * d
    if kind == "lstm":
        inside = 16 * (square + d) + (layers - 1) * (24 * square + 16 * d) + 2 * square + d
    elif kind == "lstm-residual":
        inside = layers * (18 * square + 19 * d) + norm
    else:
        embeddings += (max_length + 1) * d
        biases += kind == "gpt"
        transform = square + 3 * d if kind == "bert-post" else 0
        inside = layers * (12 * square + 13 * d) + norm + transform
    return Count(embeddings + biases + inside, embeddings)
