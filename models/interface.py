"""What every language model offers: features of all positions, and a linear softmax head on them.

    f(v | x_-t) = softmax_v( <features_t(x), output_v> + bias_v )

Token ids: 0 .. V-1 are the words; V is padding, V + 1 the mask, V + 2 a [CLS] token for fine-tuning. The special tokens
have embeddings of their own and are never predicted by a masked model. A causal model reads the [CLS] token before the
first word, its features at position t have read nothing later, and it also predicts the sentence's end, as class V.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..errors import InputError
from ..generators.vocabulary import CLS, MASK, PAD, SPECIAL_TOKENS


class MaskedLM(nn.Module, ABC):
    """name: what build_model calls it; feature_size d: the width of one position's features."""

    name: str
    vocab_size: int
    max_length: int
    feature_size: int

    causal: bool = False
    """Whether it predicts the next word instead of a hidden one."""

    per_example_gradients = True
    """Whether torch.func can vectorise this model's gradient over sentences."""

    packs: bool = False
    """Whether `features_at` may leave the padding out where that is faster: shapes then depend on the words."""

    @property
    def pad_id(self) -> int:
        return self.vocab_size + PAD

    @property
    def mask_id(self) -> int:
        return self.vocab_size + MASK

    @property
    def cls_id(self) -> int:
        return self.vocab_size + CLS

    @property
    def num_classes(self) -> int:
        """V, what the logits are over; a causal model's are over V + 1, the last the sentence's end."""
        return self.vocab_size

    def whole(self, tokens: Tensor) -> Tensor:
        """What the model reads for sentences [n, T] in which nothing is hidden: the same, [n, T].

        A causal model reads [CLS] before them, [n, T + 1]: what it knows of word t stands at position t + 1.
        """
        return tokens

    @abstractmethod
    def features(self, tokens: Tensor) -> Tensor:
        """h(x) [n, T, d] for tokens [n, T]; what stands at padded positions is undefined."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """The linear head: [..., d] -> [..., num_classes]."""

    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """What the embedding and each layer give for tokens [n, T]: [n, T, width of the layer] each, the embedding's first.

        `features` is made from the last one alone, position by position. What stands at padded positions is undefined.
        Raises InputError for a model without layers.
        """
        raise InputError(f"model '{self.name}' has no layers, expected a bert, gpt or lstm model; leave the layer out")

    def features_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """features(tokens)[rows, positions], [m, d]; a model may compute no more than it must."""
        return self.features(tokens)[rows, positions]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [n, T, num_classes]."""
        return self.logits(self.features(tokens))

    def logits_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """forward(tokens)[rows, positions], [m, num_classes]."""
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
    """Word embeddings, used both to read and to predict; num_classes: how many are predicted, V unless given."""

    def __init__(self, vocab_size: int, width: int, num_classes: int | None = None) -> None:
        super().__init__()
        self.num_classes = vocab_size if num_classes is None else num_classes
        self.embedding = nn.Embedding(vocab_size + SPECIAL_TOKENS, width)
        self.bias = nn.Parameter(self.embedding.weight.new_zeros(self.num_classes))

    def read(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def predict(self, features: Tensor) -> Tensor:
        return features @ self.embedding.weight[: self.num_classes].T + self.bias
