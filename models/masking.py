"""Which maskings go with which models: a causal model predicts the next word, every other one hidden words."""

from ..errors import InputError
from ..generators.masking import NEXT, read_masking
from .interface import MaskedLM

CAUSAL_KINDS = ("gpt",)


def default_masking(name: str) -> str:
    """The masking that a model of this name is trained under unless another is given: "next" for gpt, else "one"."""
    return NEXT if name.partition("-")[0] in CAUSAL_KINDS else "one"


def check_masking(model: MaskedLM, masking: str) -> None:
    """Raises InputError for a masking that nobody knows, and for one that this model does not predict under."""
    kind, _ = read_masking(masking)
    if model.causal and kind != NEXT:
        raise InputError(
            f"masking '{masking}' with model '{model.name}': it reads from left to right, no word after a hidden one; "
            f"expected masking {NEXT}; give that, or a bert or lstm model"
        )
    if kind == NEXT and not model.causal:
        raise InputError(
            f"masking '{masking}' with model '{model.name}': it reads the words on both sides; expected masking one or "
            "bernoulli:p; give one of these, or a gpt model"
        )
