"""The next word by a causal network whose output layer is cut down to some of its tokens, and fillings scored by it.

A text is read left to right with a key-value cache: texts that begin alike share what was read of their beginning.
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
    """p(next word | the words so far) = softmax(logits of the V kept tokens / temperature), the softmax in float64.

    token_ids [V]: the network's id of each word. The output layer of the network given is cut down to them for good.
    """

    def __init__(self, pretrained: Pretrained, token_ids: Sequence[int], temperature: float) -> None:
        self.network, self.bos, self.temperature = pretrained.network, pretrained.bos, temperature
        self.token_ids = torch.tensor(token_ids)
        self.network.set_output_embeddings(_cut_down(self.network.get_output_embeddings(), self.token_ids))

    def text(self, tokens: Tensor) -> Tensor:
        """What the network reads for words [n, T]: ids [n, T + 1], bos first."""
        return nn.functional.pad(self.token_ids[tokens], (1, 0), value=self.bos)

    @torch.no_grad()
    def read(self, ids: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """Reads s more ids [n, s] of n texts: (log p(the word after each) [n, s, V] float64, the cache of all so far).

        cache: what the call before gave, None at the start of a text. Raises InputError where a logit is not finite.
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
        """Words [n, T] from numbers [n, T] in [0, 1), one word after the other, by inverting cumulative sums of p."""
        ids, words, cache = torch.full_like(uniform[:, :1], self.bos, dtype=torch.long), [], None
        for target in uniform.T:
            log_next, cache = self.read(ids, cache)
            cumulative = log_next[:, -1].exp().cumsum(1)
            word = torch.searchsorted(cumulative, target[:, None] * cumulative[:, -1:], right=True)
            words.append(word.clamp(max=len(self.token_ids) - 1))
            ids = self.token_ids[words[-1]]
        return torch.cat(words, 1)

    def log_fillings(self, tokens: Tensor, free: Sequence[int]) -> Tensor:
        """log p(x) [n, V^h] in nats, for all fillings of the h positions `free` (ascending) of words [n, T].

        The last free position varies fastest; the words given there do not matter. Positions the network reads, a
        sentence: free[0] + 1, then V^i for each position from the i-th free one to the next, the last word excepted.
        """
        return self._log_fillings(tokens, list(free), 0, None)

    def _log_fillings(self, tokens: Tensor, free: list[int], known: int, cache: Any) -> Tensor:
        """The same for the words from position `known` on, given those before it, which are in the cache with bos."""
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
        """About how many float64 numbers reading one sentence holds: keys, values, activations, log-probabilities."""
        config = self.network.config
        return length * ((2 * config.num_hidden_layers + 12) * config.hidden_size + 3 * len(self.token_ids))

    def rows_at_a_time(self, length: int) -> int:
        return max(1, MEMORY_BUDGET // self.floats_per_sentence(length))

    def to(self, device: torch.device | str) -> Self:
        """The same on another device; this one's network stays where it is."""
        if self.token_ids.device == torch.device(device):
            return self
        moved = copy.copy(self)
        moved.network, moved.token_ids = copy.deepcopy(self.network).to(device), self.token_ids.to(device)
        return moved


def _cut_down(head: nn.Linear, token_ids: Tensor) -> nn.Linear:
    kept = nn.Linear(head.in_features, len(token_ids), head.bias is not None, device="meta")
    kept.weight = nn.Parameter(head.weight[token_ids], requires_grad=False)
    if head.bias is not None:
        kept.bias = nn.Parameter(head.bias[token_ids], requires_grad=False)
    return kept


def _branched(cache: Any, rows: Tensor) -> Any:
    """The cache of texts that go on from these rows, which may repeat; the given one stays as it is."""
    branched = copy.copy(cache)
    branched.layers = [copy.copy(layer) for layer in cache.layers]
    branched.batch_select_indices(rows)
    return branched
