"""What every masked language model offers: features of all positions, and a linear softmax head on them.

    f(v | x_-t) = softmax_v( <features_t(x), output_v> + bias_v )

Token ids: 0 .. V-1 are the words; V is padding, V + 1 the mask, V + 2 a [CLS] token for fine-tuning. The special tokens
have embeddings of their own and are never predicted.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

SPECIAL_TOKENS = 3


class MaskedLM(nn.Module, ABC):
    """name: what build_model calls it; feature_size d: the width of one position's features."""

    name: str
    vocab_size: int
    max_length: int
    feature_size: int

    per_example_gradients = True
    """Whether torch.func can vectorise this model's gradient over sentences."""

    @property
    def pad_id(self) -> int:
        return self.vocab_size

    @property
    def mask_id(self) -> int:
        return self.vocab_size + 1

    @abstractmethod
    def features(self, tokens: Tensor) -> Tensor:
        """h(x) [n, T, d] for tokens [n, T]; what stands at padded positions is undefined."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """The linear head: [..., d] -> [..., V]."""

    def features_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """features(tokens)[rows, positions], [m, d]; a model may compute no more than it must."""
        return self.features(tokens)[rows, positions]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [n, T, V]."""
        return self.logits(self.features(tokens))

    def logits_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """forward(tokens)[rows, positions], [m, V]."""
        return self.logits(self.features_at(tokens, rows, positions))

    @staticmethod
    def parameter_block(name: str) -> str:
        """The kind of a parameter, by its name: embedding, position, weight, bias or norm.

        The trace of the Hessian behaves differently in each when a network is reparametrised.
        """
        for block in ("embedding", "position", "norm"):
            if block in name:
                return block
        return "bias" if "bias" in name else "weight"


class TiedHead(nn.Module):
    """Word embeddings, used both to read the words and to predict them."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size + SPECIAL_TOKENS, width)
        self.bias = nn.Parameter(self.embedding.weight.new_zeros(vocab_size))

    def read(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def predict(self, features: Tensor) -> Tensor:
        return features @ self.embedding.weight[: self.vocab_size].T + self.bias
