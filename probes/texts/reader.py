"""A causal network in a directory as a reader of texts: the feature f of the last token, and the words' features Phi.

logits after a text = Phi^T f + b
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...errors import InputError
from ...generators.causal.pretrained import EXPECTED, NO_TOKENIZER, load_pretrained

AGREES = 1e-3
"""Share of the largest logit by which the network's own logits may differ from Phi^T f + b."""

LONGEST = 512
"""Tokens at which a text is cut, as in the authors' released code."""


class TextReader:
    """Reads texts with a network and the tokenizer beside it. Only local files are read, and none of their code is run.

    A text begins with what the tokenizer puts before every text. One without tokens is read as the token that begins
    texts.

    Args:
        folder: holds config.json, weights as safetensors, and a tokenizer.
        device: where the network computes, in float32.
        longest: tokens at which a text is cut; a network with fewer positions cuts there.

    Raises:
        InputError: for a directory that lacks one of these, and a network whose logits are no linear function of the
            last feature.
    """

    def __init__(self, folder: str | Path, device: torch.device | str = "cpu", longest: int = LONGEST) -> None:
        if not Path(folder).is_dir():
            raise InputError(f"{folder}: no such directory, {EXPECTED}, and a tokenizer; check the path")
        self.pretrained = load_pretrained(str(folder))
        self.tokenizer = self.pretrained.tokenizer
        if self.tokenizer is None:
            raise InputError(NO_TOKENIZER.format(self.pretrained.model))
        self.network, self.device = self.pretrained.network.to(device), torch.device(device)
        head = self.network.get_output_embeddings()
        self.phi = head.weight.detach().float().T
        self.bias = self.phi.new_zeros(self.phi.shape[1]) if head.bias is None else head.bias.detach().float()
        self.longest = min(longest, self.pretrained.max_positions or longest)
        self.begin = self._beginning()
        self._check_linear()

    def _beginning(self) -> list[int]:
        """What the tokenizer puts before every text."""
        plain, full = (self.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        for at in range(len(full) - len(plain) + 1):
            if full[at : at + len(plain)] == plain:
                return list(full[:at])
        return []

    def _check_linear(self) -> None:
        ids = torch.tensor([[self.pretrained.bos]], device=self.device)
        with torch.no_grad():
            own = self.network(ids, use_cache=False).logits[0, -1]
        ours = self.features([[self.pretrained.bos]])[0] @ self.phi + self.bias
        if float((own - ours).abs().max()) > AGREES * float(own.abs().max().clamp(min=1e-30)):
            raise InputError(
                f"model {self.pretrained.model}: its logits are no linear function of its last feature, expected a "
                "network such as GPT-2 or OPT; give one"
            )

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> list[list[int]]:
        """The tokens of each text.

        Args:
            texts: n texts.
            prompt: what is appended to each, after a blank; long texts are cut before it.

        Returns:
            For each text at most `longest` token ids, at least one.

        Raises:
            InputError: for a prompt that leaves no room for texts, and for one that is no text.
        """
        end = [] if prompt is None else self._tokens(f" {prompt}", "prompt")
        room = self.longest - len(self.begin) - len(end)
        if room < 1:
            raise InputError(
                f"prompt has {len(end)} tokens, expected fewer than the {self.longest} that are read; shorten it"
            )
        found = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [[*self.begin, *ids[:room], *end] or [self.pretrained.bos] for ids in found]

    def _tokens(self, text: str, what: str) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"{what} is {text!r:.60}, expected characters of UTF-8; correct it") from None
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def words(self, text: str, what: str) -> Tensor:
        """The tokens that words are, each with a blank before it, or else as it stands.

        Args:
            text: the words, separated by spaces.
            what: what a message calls them.

        Returns:
            Their ids, each once, in ascending order.

        Raises:
            InputError: for a word that is several tokens or unknown, and for no word.
        """
        chosen = set()
        for word in text.split():
            ids = [self._tokens(form, what) for form in (f" {word}", word)]
            single = [found[0] for found in ids if len(found) == 1 and found[0] != self.tokenizer.unk_token_id]
            if not single:
                raise InputError(
                    f"{what}: '{word:.40}' is no single token of {self.pretrained.model}, expected words of one token; "
                    "choose others"
                )
            chosen.add(single[0])
        if not chosen:
            raise InputError(f"{what} is '{text:.40}', expected words separated by spaces; name some")
        return torch.tensor(sorted(chosen), device=self.device)

    def spelled(self, ids: Tensor) -> list[str]:
        """The words of these token ids, as a reader writes them."""
        return [str(self.tokenizer.decode([number])) for number in ids.tolist()]

    @torch.no_grad()
    def features(self, ids: Sequence[Sequence[int]], batch_size: int = 16) -> Tensor:
        """The feature f of each text's last token: what the output layer reads.

        Texts of about one length are read together. What stands behind a text does not change what is read before.

        Args:
            ids: the tokens of n texts, at least one each.
            batch_size: texts that are read at a time.

        Returns:
            f [n, d] float32 on the network's device.

        Raises:
            InputError: for features that are not finite.
        """
        out = torch.empty(len(ids), self.phi.shape[0], device=self.device)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            lengths = torch.tensor([len(ids[row]) for row in rows])
            tokens = torch.full((len(rows), int(lengths.max())), self.pretrained.bos)
            for number, row in enumerate(rows):
                tokens[number, : len(ids[row])] = torch.tensor(ids[row])
            inside = torch.arange(tokens.shape[1]) < lengths[:, None]
            read = {"input_ids": tokens.to(self.device), "attention_mask": inside.long().to(self.device)}
            states = self.network.base_model(**read, use_cache=False).last_hidden_state
            out[rows] = states[torch.arange(len(rows)), lengths - 1].float()
        if not bool(out.isfinite().all()):
            raise InputError(f"model {self.pretrained.model}: a feature is not finite, expected numbers; check it")
        return out

    def fingerprint(self, ids: Sequence[Sequence[int]]) -> str:
        """SHA-256 of the network and the tokens: two readings with one fingerprint have the same features."""
        return hashlib.sha256(json.dumps([self.pretrained.sha256, list(map(list, ids))]).encode()).hexdigest()
