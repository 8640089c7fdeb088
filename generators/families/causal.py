"""The family of pretrained causal networks, as YAML files describe them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from ...errors import InputError
from ...system.replaceable import check_readable
from ..causal.language import CausalLM
from ..language import Language
from .base import Family, families

DEFAULT_LENGTH = 24
"""The default number of words in a sentence (Liu et al. 2022, A.1)."""


@families.register("causal")
@dataclass(frozen=True, kw_only=True)
class CausalFamily(Family):
    """A pretrained causal network over some of its tokens: `CausalLM`. The family makes no random choices.

    Args:
        model: a directory, or an id of the Hugging Face hub.
        words: size of the vocabulary, the network's most frequent tokens; not together with token_ids.
        length: number of words in a sentence.
        temperature: divisor of the logits.
        token_counts: a file with the number of occurrences of each token; see `read_counts`.
        token_ids: the tokens of the vocabulary, instead of words.
        dtype: float32 or float64, the precision of the network.
        sha256: SHA-256 that the network must have; see `Pretrained`.

    Source: Liu et al. 2022, 2210.14199, A.1.
    """

    model: str
    words: int | None = None
    length: int = DEFAULT_LENGTH
    temperature: float = 1.0
    token_counts: str | None = None
    token_ids: list[Any] | None = None
    dtype: str = "float32"
    sha256: str | None = None

    @override
    def build(self) -> Language:
        counts = None if self.token_counts is None else read_counts(Path(self.token_counts))
        chosen = (self.words, self.token_ids, counts)
        return CausalLM(self.model, self.length, *chosen, self.temperature, self.dtype, self.sha256)


def read_counts(path: Path) -> dict[int, float]:
    """Reads the number of occurrences of each token.

    Args:
        path: the path of a text file with a token id and its count on each line, separated by spaces or tabs.

    Returns:
        Token id -> count.

    Raises:
        InputError: for a line of another form, and for a token id that is counted twice. The message names the line.
    """
    try:
        check_readable(path, "a text file")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"token_counts: {path} cannot be read ({error}), expected a text file; check the path"
        ) from None
    counts: dict[int, float] = {}
    for number, line in enumerate(lines, start=1):
        try:
            token_id, count = line.split()
            key, value = int(token_id), float(count)
        except ValueError:
            key, value = -1, -1.0
        if key < 0 or not value >= 0 or key in counts:
            problem = f"token {key} is counted twice" if key in counts else f"{line!r}"
            raise InputError(
                f"token_counts: {path}, line {number}: {problem}, expected a token id and its count; correct it"
            )
        counts[key] = value
    return counts
