"""Reads causal networks in Hugging Face's format, only from safetensors, without running any code from the files."""

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from ...errors import InputError, unknown

DTYPES = {"float32": torch.float32, "float64": torch.float64}

EXPECTED = "expected a directory that holds config.json and model.safetensors, or the id of such a network"

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")

NO_TOKENIZER = (
    f"model {{}}: has no tokenizer, expected one of {', '.join(TOKENIZER_FILES)} beside the weights; "
    "write it there with save_pretrained"
)


@dataclass(frozen=True)
class Pretrained:
    """A causal network as read from its files, in eval mode and without gradients.

    Args:
        model: its absolute directory, or its id on the Hugging Face hub.
        network: the transformers model.
        tokens: the tokenizer's string of each token id, None for an id that it does not know; without a tokenizer, the
            ids as strings.
        special: ids that are not words.
        bos: the id with which every text begins.
        tokenizer: the transformers tokenizer; None if there is none.
        max_positions: the number of tokens that the network can read; None if it sets no limit.
        sha256: the SHA-256 of config.json and of all parameters, as read.
    """

    model: str
    network: Any
    tokens: tuple[str | None, ...]
    special: frozenset[int]
    bos: int
    tokenizer: Any
    max_positions: int | None
    sha256: str

    def frequent_tokens(self, count: int, counts: Mapping[int, float] | None = None) -> list[int]:
        """The most frequent token ids, without special ones.

        Without counts, these are the lowest ids. They are the most frequent ones if the vocabulary is sorted by
        frequency, as OPT's is (fairseq sorts its dictionary). GPT-2's vocabulary has single bytes first, then the
        merges of byte pair encoding in the order in which they were made.

        Args:
            count: the number of ids.
            counts: token id -> number of occurrences. Of equal counts, the lower id comes first.

        Returns:
            The ids, in ascending order.

        Raises:
            InputError: if there are fewer such tokens, and for an id in counts that is not a token.
        """
        candidates = [i for i, token in enumerate(self.tokens) if token is not None and i not in self.special]
        if counts is not None:
            for token_id in counts:
                if not 0 <= token_id < len(self.tokens):
                    raise InputError(
                        f"token_counts: {token_id} is not a token of {self.model}, "
                        f"expected 0 to {len(self.tokens) - 1}; count with the network's own tokenizer"
                    )
            candidates = sorted((i for i in candidates if counts.get(i, 0) > 0), key=lambda i: (-counts[i], i))
        if not 1 <= count <= len(candidates):
            kind = "tokens" if counts is None else "counted tokens"
            raise InputError(
                f"words is {count}, but {self.model} has {len(candidates)} {kind} that are not special, expected 1 "
                f"to {len(candidates)}; correct it"
            )
        return sorted(candidates[:count])


def load_pretrained(model: str, dtype: str = "float32") -> Pretrained:
    """Reads a network from a directory or from the Hugging Face hub.

    Args:
        model: a directory, or an id of the hub, which is read from the local cache or downloaded.
        dtype: "float32" or "float64", the precision of the network, whatever the dtype in its files.

    Returns:
        The network.

    Raises:
        InputError: if transformers is not installed; for a network that cannot be downloaded or is damaged; and for a
            network without a key-value cache or without a token that begins every text.
    """
    if dtype not in DTYPES:
        raise InputError(str(unknown("dtype", dtype, DTYPES)))
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"model {model}: networks need the package transformers ({_first_line(error)}); "
            "install it with pip install 'saturation-lab[hf]'"
        ) from None
    folder = Path(model).expanduser()
    local = folder.is_dir()
    if local:
        model = str(folder.resolve())
        _check_files(folder)
    elif folder.exists() or not _may_be_id(model):
        raise InputError(f"model {model}: no such directory, {EXPECTED}; check the path")
    with _quiet():
        network = _network(transformers, model, dtype, local)
        config_file = Path(transformers.utils.cached_file(model, "config.json", local_files_only=True))
        tokenizer = _tokenizer(transformers, model, config_file.parent, local)
        return _checked(model, network, tokenizer, config_file.read_bytes())


def load_tokenizer(model: str) -> Any:
    """Reads the tokenizer of a network that has been read here before; nothing is fetched.

    Args:
        model: the network's directory, or its id.

    Returns:
        The transformers tokenizer.

    Raises:
        InputError: where there is none, and where it is damaged.
    """
    import transformers

    with _quiet():
        try:
            config_file = transformers.utils.cached_file(model, "config.json", local_files_only=True)
        except OSError as error:
            raise InputError(f"model {model}: {_first_line(error)}; {EXPECTED}; give one") from None
        found = _tokenizer(transformers, model, Path(config_file).parent, local=True)
    if found is None:
        raise InputError(NO_TOKENIZER.format(model))
    return found


def _check_files(folder: Path) -> None:
    """Checks that a directory contains a configuration and weights in the required format."""
    for pattern in ("config.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            raise InputError(
                f"model {folder}: holds no {pattern}, {EXPECTED}; write the weights with save_pretrained, as other "
                "formats are not read"
            )


def _may_be_id(model: str) -> bool:
    """Whether a text has the form of an id of the Hugging Face hub."""
    return model.count("/") <= 1 and not model.startswith((".", "/", "~")) and not model.endswith("/") and model != ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Turns off progress bars, log lines and warnings of transformers and its hub client during the block."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    level, hub_level, bars = logging.get_verbosity(), hub.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


def _network(transformers: Any, model: str, dtype: str, local: bool) -> Any:
    """The transformers model from local files or, unless it is a local directory, from the hub."""
    options = {"dtype": DTYPES[dtype], "use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}
    read = partial(transformers.AutoModelForCausalLM.from_pretrained, model, **options)
    try:
        try:
            network, report = read(local_files_only=True)
        except OSError:
            if local:
                raise
            network, report = read()
    except _damage() as error:
        if local:
            raise InputError(f"model {model}: cannot be read ({_first_line(error)}); {EXPECTED}; give one") from None
        raise InputError(
            f"model {model}: not a directory, and cannot be downloaded ({_first_line(error)}); download it on a "
            f"machine with internet access (hf download {model}), or give a directory that holds config.json "
            "and model.safetensors, in a language.yaml such as {preset: liu2022-opt, model: DIRECTORY}"
        ) from None
    unset = sorted(report["missing_keys"]) or [name for name, p in network.named_parameters() if p.is_meta]
    if unset:
        raise InputError(
            f"model {model}: its files lack the weights {unset[0]} ({len(unset)} tensors in all), which would "
            "stay random; write the network again with save_pretrained"
        )
    return network.eval().requires_grad_(False)


def _damage() -> tuple[type[Exception], ...]:
    """The errors that transformers may raise for a damaged network or tokenizer."""
    from huggingface_hub.errors import StrictDataclassError

    builtin = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)
    return (*builtin, SafetensorError, StrictDataclassError)


def _tokenizer(transformers: Any, model: str, folder: Path, local: bool) -> Any:
    """The tokenizer in the folder, downloaded first unless it is there or the model is local; None if there is none."""
    from huggingface_hub import snapshot_download

    def is_here() -> bool:
        return any((folder / name).is_file() for name in TOKENIZER_FILES)

    try:
        if not local and not is_here():
            snapshot_download(model, allow_patterns=["*token*", "vocab.*", "merges.txt"])
        if not is_here():
            return None
        return transformers.AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    except _damage() as error:
        raise InputError(
            f"model {model}: its tokenizer cannot be read ({_first_line(error)}); repair it, or use a directory "
            "without a tokenizer, where the words are the token ids"
        ) from None


def _first_line(error: BaseException) -> str:
    """The beginning of an error's message, or its class if the message is empty."""
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def _checked(model: str, network: Any, tokenizer: Any, config_bytes: bytes) -> Pretrained:
    """The network with its tokens and settings, after checking that it is a causal network with a key-value cache."""
    config, head = network.config, network.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise InputError(f"model {model}: type {config.model_type} has no linear output layer; {EXPECTED}; give one")
    num_tokens = min(head.out_features, network.get_input_embeddings().num_embeddings)
    bos = config.bos_token_id
    if not isinstance(bos, int) or not 0 <= bos < num_tokens:
        raise InputError(
            f"model {model}: bos_token_id in config.json is {bos}, expected the token id that begins every text, "
            f"0 to {num_tokens - 1}; correct it"
        )
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    special = {i for i in (bos, config.pad_token_id, *ends) if i is not None}
    if tokenizer is None:
        tokens: tuple[str | None, ...] = tuple(map(str, range(num_tokens)))
    else:
        special |= set(tokenizer.all_special_ids)
        tokens = tuple(tokenizer.convert_ids_to_tokens(list(range(num_tokens))))
    with torch.no_grad():
        cache = getattr(network(torch.tensor([[bos]]), use_cache=True), "past_key_values", None)
    if not (hasattr(cache, "layers") and hasattr(cache, "batch_select_indices")):
        raise InputError(
            f"model {model}: type {config.model_type} keeps no key-value cache, expected a network that reads left to "
            "right, such as OPT or GPT-2; give one"
        )
    positions = getattr(config, "max_position_embeddings", None)
    digest = _sha256(network, config_bytes)
    return Pretrained(model, network, tokens, frozenset(special), bos, tokenizer, positions, digest)


def _sha256(network: nn.Module, config_bytes: bytes) -> str:
    """SHA-256 of config.json and of each parameter's name, dtype, shape and bytes. Tied parameters count once."""
    digest = hashlib.sha256(config_bytes)
    for name, parameter in sorted(network.named_parameters()):
        digest.update(f"{name} {parameter.dtype} {list(parameter.shape)}".encode())
        digest.update(parameter.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
