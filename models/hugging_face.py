"""Converts the published (post-LN) BERT to and from Hugging Face's BertForMaskedLM: the same weights, other names.

Token ids are the same on both sides: 0 .. V-1 are the words, and the last three are padding V, the mask V + 1 and [CLS]
V + 2. Hugging Face's model needs attention_mask = (tokens != pad_token_id). It has one token type, whose vector is
zero, because satlab's model has no segments.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..errors import InputError
from ..generators.vocabulary import SPECIAL_TOKENS
from .build import dropout_of, make_model
from .interface import LanguageModel
from .names import name_of
from .networks.bert import POST_LN_EPS, Bert, BertPostNetwork

if TYPE_CHECKING:
    from transformers import BertForMaskedLM

NEVER = float(torch.finfo(torch.float16).min)
"""The output bias of the special tokens: float16's lowest number, for which a softmax is exactly 0 in every dtype."""

WORDS = "bert.embeddings.word_embeddings.weight"
POSITIONS = "bert.embeddings.position_embeddings.weight"
TYPES = "bert.embeddings.token_type_embeddings.weight"
BIAS = "cls.predictions.bias"
TIED = {"cls.predictions.decoder.weight": WORDS, "cls.predictions.decoder.bias": BIAS}

OUTSIDE = {
    "norm": "bert.embeddings.LayerNorm",
    "transform.dense": "cls.predictions.transform.dense",
    "transform.norm": "cls.predictions.transform.LayerNorm",
}
LAST_NORM = tuple(f"{OUTSIDE['transform.norm']}.{part}" for part in ("weight", "bias"))
IN_A_BLOCK = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "mlp_norm": "output.LayerNorm",
}
"""Modules with a weight and a bias: satlab's name -> Hugging Face's. Embeddings and output differ in shape."""


def to_hugging_face(model: LanguageModel) -> "BertForMaskedLM":
    """Converts a model to Hugging Face's, with the same logits of the V words up to rounding.

    Special tokens get probability 0. hidden_dropout_prob is the model's dropout, and attention_probs_dropout_prob is 0.
    The last LayerNorm absorbs a width-aware model's multiplier of the features.

    Args:
        model: a post-LN BERT.

    Returns:
        The network, with the model's dtype, device and mode.

    Raises:
        InputError: for any other model, and if transformers is not installed.
    """
    transformers = _transformers()
    if not isinstance(model, Bert) or model.pre:
        raise InputError(
            f"model '{model.name}': Hugging Face's BERT is post-LN, expected bert-post-LAYERSxWIDTH; use such a model"
        )
    weights = model.state_dict()
    some = weights["position"]
    # Hugging Face's layers draw weights from the global random state before ours are loaded, so that state is restored.
    with torch.random.fork_rng(devices=[]):
        network = transformers.BertForMaskedLM(transformers.BertConfig(**_config(model))).to(some.device, some.dtype)
    theirs = {there: weights[here] for here, there in _names(len(model.blocks)).items()}
    theirs |= {WORDS: weights["words.embedding.weight"], POSITIONS: some, TYPES: torch.zeros_like(some[:1])}
    theirs[BIAS] = torch.cat([weights["words.bias"], some.new_full((SPECIAL_TOKENS,), NEVER)])
    theirs |= {name: theirs[name] * model.settings.output_scale for name in LAST_NORM}
    network.load_state_dict(theirs | {name: theirs[original] for name, original in TIED.items()})
    return network.train(model.training)


def from_hugging_face(network: "BertForMaskedLM") -> Bert:
    """Converts a network to a model bert-post-LAYERSxWIDTH, with the same logits of the V words up to rounding.

    The vector of token type 0 is added to the positions. Two things are lost: the network's predictions of special
    tokens, and dropout on attention weights, which `Bert` does not have.

    Args:
        network: a network whose vocabulary ends with padding, mask and [CLS].

    Returns:
        The model, with the network's dtype, device and mode.

    Raises:
        InputError: for another architecture or another end of the vocabulary, and if transformers is not installed.
    """
    if not isinstance(network, _transformers().BertForMaskedLM):
        raise InputError(f"network: a {type(network).__name__}, expected a BertForMaskedLM; load it as one")
    config, theirs = network.config, network.state_dict()
    _check(config, theirs)
    vocab_size = config.vocab_size - SPECIAL_TOKENS
    layers, positions = config.num_hidden_layers, config.max_position_embeddings
    name = name_of(BertPostNetwork(layers, config.hidden_size, config.num_attention_heads))
    model = make_model(name, vocab_size, positions - 1, float(config.hidden_dropout_prob))
    weights = {here: theirs[there] for here, there in _names(layers).items()}
    weights |= {"words.embedding.weight": theirs[WORDS], "words.bias": theirs[BIAS][:vocab_size]}
    weights["position"] = theirs[POSITIONS] + theirs[TYPES][0]
    model = model.to(theirs[WORDS].device, theirs[WORDS].dtype)
    model.load_state_dict(weights)
    return cast(Bert, model).train(network.training)


def _config(model: Bert) -> dict[str, Any]:
    width = model.feature_size
    return {
        "vocab_size": model.vocab_size + SPECIAL_TOKENS,
        "hidden_size": width,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": model.settings.number_of_heads,
        "intermediate_size": 4 * width,
        "initializer_range": model.settings.initial_deviation,
        "hidden_act": "gelu",
        "hidden_dropout_prob": dropout_of(model),
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": model.max_length + 1,
        "type_vocab_size": 1,
        "layer_norm_eps": POST_LN_EPS,
        "pad_token_id": model.pad_id,
        "mask_token_id": model.mask_id,
        "cls_token_id": model.cls_id,
    }


def _names(layers: int) -> dict[str, str]:
    """satlab's name -> Hugging Face's name, for all parameters with the same shape on both sides."""
    modules = dict(OUTSIDE)
    for i in range(layers):
        modules |= {f"blocks.{i}.{here}": f"bert.encoder.layer.{i}.{there}" for here, there in IN_A_BLOCK.items()}
    return {f"{here}.{kind}": f"{there}.{kind}" for here, there in modules.items() for kind in ("weight", "bias")}


def _check(config: Any, theirs: dict[str, Tensor]) -> None:
    """Raises InputError for the first property in which the network differs from a post-LN `Bert`."""
    width, pad_id = config.hidden_size, config.vocab_size - SPECIAL_TOKENS
    wanted = {
        "pad_token_id": (pad_id, f"the last three of the {config.vocab_size} tokens are padding, mask and [CLS]"),
        "mask_token_id": (pad_id + 1, "the last three tokens are padding, mask and [CLS]"),
        "cls_token_id": (pad_id + 2, "the last three tokens are padding, mask and [CLS]"),
        "hidden_act": ("gelu", "satlab has no other activation"),
        "intermediate_size": (4 * width, "the MLP is 4 times as wide as the network"),
        "layer_norm_eps": (POST_LN_EPS, "satlab has no other value"),
        "position_embedding_type": ("absolute", "positions are learned vectors"),
        "is_decoder": (False, "the model reads both sides"),
    }
    for key, (expected, reason) in wanted.items():
        given = getattr(config, key, expected)
        if given != expected:
            raise InputError(
                f"network: {key} is {given}, expected {expected} ({reason}); use a network with this value"
            )
    for name, original in TIED.items():
        if not torch.equal(theirs[name], theirs[original]):
            raise InputError(
                f"network: {name} differs from {original}, expected tied weights; use a network that ties them"
            )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"Hugging Face's BERT needs the package transformers ({error}); install it with "
            "pip install 'saturation-lab[hf]'"
        ) from None
    return transformers
