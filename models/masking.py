"""The maskings that fit a model: a causal model predicts the next word, every other model predicts hidden words."""

from ..errors import InputError
from ..generators.masking import NEXT, read_masking
from ..generators.named import takes_names
from .interface import LanguageModel
from .names import network_of


def default_masking(name: str) -> str:
    """The default masking for training a model: "next" for a causal model, else "one"."""
    return NEXT if network_of(name).causal else "one"


@takes_names
def check_masking(model: LanguageModel, masking: str) -> None:
    """Checks that the model can make the predictions of a masking.

    Args:
        model: the model.
        masking: "one", "bernoulli:p" or "next".

    Raises:
        InputError: for an unknown masking, and for a masking that does not fit the model.
    """
    kind, _ = read_masking(masking)
    if model.causal and kind != NEXT:
        raise InputError(
            f"masking '{masking}': model '{model.name}' reads from left to right and sees no word after a "
            f"hidden one, expected masking {NEXT}; give it, or use a bert or lstm model"
        )
    if kind == NEXT and not model.causal:
        raise InputError(
            f"masking '{masking}': model '{model.name}' reads the words on both sides, expected masking one or "
            "bernoulli:p; give one of these, or use a gpt model"
        )
