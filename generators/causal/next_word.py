"""Next-word probabilities and scores of fillings by a causal network restricted to some of its tokens.

The network reads texts from left to right with a key-value cache, so it reads a common prefix of several texts once.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..language import MEMORY_BUDGET
from .pretrained import Pretrained


class NextWord:
    """p(next word | the words so far) = softmax(logits of the V kept tokens / temperature), with a float64 softmax.

    Args:
        pretrained: the network. Its output layer is replaced by one for the kept tokens.
        token_ids: the network's ids of the V words.
        temperature: the divisor of the logits.
    """

    def __init__(self, pretrained: Pretrained, token_ids: Sequence[int], temperature: float) -> None:
        self.network, self.bos, self.temperature = pretrained.network, pretrained.bos, temperature
        self.token_ids = torch.tensor(token_ids)
        self.network.set_output_embeddings(_cut_down(self.network.get_output_embeddings(), self.token_ids))

    def text(self, tokens: Tensor) -> Tensor:
        """The ids [n, T + 1] that the network reads for words [n, T]: bos, then their token ids."""
        return nn.functional.pad(self.token_ids[tokens], (1, 0), value=self.bos)

    @torch.no_grad()
    def read(self, ids: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """Reads the next s ids of n texts.

        Args:
            ids: [n, s].
            cache: the cache that the previous call returned; None at the start of the texts.

        Returns:
            (log p(the word after each id) [n, s, V] float64, the cache of all ids so far).

        Raises:
            InputError: for a logit that is not finite.
        """
        out = self.network(ids, past_key_values=cache, use_cache=True)
        logits = out.logits.double() / self.temperature
        if not bool(logits.isfinite().all()):
            raise InputError(
                f"the network's logits / temperature {self.temperature:g} are not finite, expected numbers; "
                "check its weights and the temperature"
            )
        return logits.log_softmax(-1), out.past_key_values

    def draw(self, uniform: Tensor) -> Tensor:
        """Draws words [n, T] from uniform random numbers [n, T], word by word, by inverting cumulative sums of p."""
        ids, words, cache = torch.full_like(uniform[:, :1], self.bos, dtype=torch.long), [], None
        for target in uniform.T:
            log_next, cache = self.read(ids, cache)
            cumulative = log_next[:, -1].exp().cumsum(1)
            word = torch.searchsorted(cumulative, target[:, None] * cumulative[:, -1:], right=True)
            words.append(word.clamp(max=len(self.token_ids) - 1))
            ids = self.token_ids[words[-1]]
        return torch.cat(words, 1)

    def log_fillings(self, tokens: Tensor, free: Sequence[int]) -> Tensor:
        """log p(x) for all fillings of the free positions.

        For each sentence, the network reads free[0] + 1 positions, and then V^i times the positions from the i-th free
        position to the next one. It never reads the last word.

        Args:
            tokens: words [n, T]; words at free positions are ignored.
            free: h positions in ascending order.

        Returns:
            [n, V^h] float64, nats; the last free position varies fastest.
        """
        return self._log_fillings(tokens, list(free), 0, None)

    def _log_fillings(self, tokens: Tensor, free: list[int], known: int, cache: Any) -> Tensor:
        """`log_fillings` of the words from position `known` on. The cache contains bos and the words before them."""
        n, length = tokens.shape
        first = free[0] if free else length
        log_next, cache = self.read(self.text(tokens)[:, known : min(first + 1, length)], cache)
        visible = tokens[:, known:first, None]
        total = log_next[:, : visible.shape[1]].gather(2, visible).sum(1)
        if not free:
            return total
        total = total + log_next[:, -1]
        if first == length - 1:
            return total
        vocab_size, tails = total.shape[1], []
        for branch in torch.arange(n * vocab_size, device=tokens.device).split(self.rows_at_a_time(length)):
            rows = branch // vocab_size
            continued = tokens[rows]
            continued[:, first] = branch % vocab_size
            tails.append(self._log_fillings(continued, free[1:], first + 1, _branched(cache, rows)))
        return (total.reshape(-1, 1) + torch.cat(tails)).reshape(n, -1)

    def floats_per_sentence(self, length: int) -> int:
        """The approximate number of float64 values needed to read a sentence: keys, values, activations and log p."""
        config = self.network.config
        layers, width = int(config.num_hidden_layers), int(config.hidden_size)
        return length * ((2 * layers + 12) * width + 3 * len(self.token_ids))

    def rows_at_a_time(self, length: int) -> int:
        """The number of sentences of this length that are read at a time within the memory budget."""
        return max(1, MEMORY_BUDGET // self.floats_per_sentence(length))

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device, with its own copy of the network."""
        if self.token_ids.device == torch.device(device):
            return self
        moved = copy.copy(self)
        moved.network, moved.token_ids = copy.deepcopy(self.network).to(device), self.token_ids.to(device)
        return moved


def _cut_down(head: nn.Linear, token_ids: Tensor) -> nn.Linear:
    """An output layer for only these tokens."""
    kept = nn.Linear(head.in_features, len(token_ids), head.bias is not None, device="meta")
    kept.weight = nn.Parameter(head.weight[token_ids], requires_grad=False)
    if head.bias is not None:
        kept.bias = nn.Parameter(head.bias[token_ids], requires_grad=False)
    return kept


def _branched(cache: Any, rows: Tensor) -> Any:
    """A copy of the cache for texts that continue these rows, which may repeat."""
    branched = copy.copy(cache)
    branched.layers = [copy.copy(layer) for layer in cache.layers]
    branched.batch_select_indices(rows)
    return branched
