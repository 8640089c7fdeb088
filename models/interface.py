"""The interface of all language models: features of all positions, and a linear softmax head on them.

    f(v | x_-t) = softmax_v( <features_t(x), output_v> + bias_v )

Token ids 0 .. V-1 are the words; V is padding, V + 1 is the mask, and V + 2 is a [CLS] token for fine-tuning. The
special tokens have their own embeddings, and a masked model never predicts them. A causal model reads the [CLS] token
before the first word. Its features at position t depend on no later token. It also predicts the sentence's end, as
class V.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..errors import InputError
from ..generators.vocabulary import CLS, MASK, PAD, SPECIAL_TOKENS


class LanguageModel(nn.Module, ABC):
    """A language model: features of all positions and a linear head.

    Subclasses set `name`, the canonical name of the model; `vocab_size`, the number V of words; `max_length`, the
    number of words in the longest sentence; and `feature_size`, the number d of features of a position.
    """

    name: str
    vocab_size: int
    max_length: int
    feature_size: int

    causal: bool = False
    """Whether the model predicts the next word instead of hidden words."""

    per_example_gradients = True
    """Whether torch.func can vectorise the gradient of this model over sentences."""

    packs: bool = False
    """Whether `features_at` may skip padding if that is faster. The shapes of its tensors then depend on the data."""

    @property
    def pad_id(self) -> int:
        """The token id of padding."""
        return self.vocab_size + PAD

    @property
    def mask_id(self) -> int:
        """The token id of the mask."""
        return self.vocab_size + MASK

    @property
    def cls_id(self) -> int:
        """The token id of [CLS]."""
        return self.vocab_size + CLS

    @property
    def num_classes(self) -> int:
        """The number of classes of the logits: V, or V + 1 for a causal model, for which class V is the end."""
        return self.vocab_size

    def whole(self, tokens: Tensor) -> Tensor:
        """The tokens that the model reads for sentences in which nothing is hidden.

        Args:
            tokens: [n, T].

        Returns:
            The same tokens [n, T]. For a causal model, [CLS] and then the tokens, [n, T + 1]: its features of word t
            are at position t + 1.
        """
        return tokens

    @abstractmethod
    def features(self, tokens: Tensor) -> Tensor:
        """h(x) [n, T, d] for tokens [n, T]; values at padded positions are undefined."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """The linear head: [..., d] -> [..., num_classes]."""

    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """The embedding and the output of each layer, [n, T, width of the layer] each, the embedding first.

        `features` depends only on the last of these, position by position. Values at padded positions are undefined.

        Args:
            tokens: [n, T].

        Raises:
            InputError: for a model without layers.
        """
        raise InputError(f"model '{self.name}' has no layers, expected a bert, gpt or lstm model; leave the layer out")

    def features_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """features(tokens)[rows, positions], [m, d]. A model may skip computations that these do not need."""
        return self.features(tokens)[rows, positions]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [n, T, num_classes] for tokens [n, T]."""
        return self.logits(self.features(tokens))

    def logits_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """forward(tokens)[rows, positions], [m, num_classes]."""
        return self.logits(self.features_at(tokens, rows, positions))

    @staticmethod
    def parameter_block(name: str) -> str:
        """The kind of a parameter, derived from its name.

        The shares of these kinds in the trace of the Hessian change differently when a network is reparametrised.

        Args:
            name: the parameter's name.

        Returns:
            "embedding", "position", "norm", "bias" or "weight".
        """
        for block in ("embedding", "position", "norm"):
            if block in name:
                return block
        return "bias" if "bias" in name else "weight"


class TiedHead(nn.Module):
    """Word embeddings that are used both to read and to predict words.

    Args:
        vocab_size: V, the number of words.
        width: number of features of a position, d.
        num_classes: number of tokens that the head predicts, from token 0 on; V unless given.
    """

    def __init__(self, vocab_size: int, width: int, num_classes: int | None = None) -> None:
        super().__init__()
        self.num_classes = vocab_size if num_classes is None else num_classes
        self.embedding = nn.Embedding(vocab_size + SPECIAL_TOKENS, width)
        self.bias = nn.Parameter(self.embedding.weight.new_zeros(self.num_classes))

    def read(self, tokens: Tensor) -> Tensor:
        """The embeddings of tokens [n, T]: [n, T, d]."""
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def predict(self, features: Tensor) -> Tensor:
        """<h, e_v> + b_v for features [..., d]: [..., num_classes]."""
        return features @ self.embedding.weight[: self.num_classes].T + self.bias
