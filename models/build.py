"""From a model's name to a model, and from a directory to a trained one."""

import json
import re
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import InputError, TooLargeError, unknown
from ..generators import Language
from ..randomness import random_stream
from ..system.disk import damaged_file
from ..system.memory import check_memory
from .count import count_of
from .interface import MaskedLM
from .networks.bert import Bert
from .networks.gpt import Gpt
from .networks.lookup import LookupTable
from .networks.lstm import Lstm
from .networks.lstm_residual import ResidualLstm

HEAD_SIZE = 64
"""Width of an attention head, at every size (Liu et al. 2022, A.3); narrower models have one head."""

INITIAL_DEVIATION = 0.02
"""Standard deviation of the initial weights (Devlin et al. 2019)."""

KINDS = ("bert", "bert-post", "gpt", "lstm", "lstm-residual", "lookup")
NAME = re.compile(r"(?P<kind>bert|bert-post|gpt|lstm|lstm-residual)-(?P<layers>[1-9]\d{0,17})x(?P<width>[1-9]\d{0,17})")

MOST_LAYERS = 1000
"""Layers of a model; more take minutes to be built, whatever their width."""

BYTES = 4
"""Of a weight."""

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def build_model(name: str, language: Language, seed: int = 0, dropout: float = 0.0) -> MaskedLM:
    """An untrained model for the language: "bert-2x64" (layers x width), and so for all KINDS, or "lookup".

    Weights are drawn from the seed's stream "init". Raises InputError for a name of no such form and a size that does
    not fit into memory.
    """
    if name == "lookup":
        return LookupTable(language)
    model = make_model(name, language.vocab_size, language.max_length, dropout)
    initialise(model, random_stream(seed, "init"))
    return model


def size_of(name: str) -> tuple[str, int, int]:
    """(kind, layers, width) of a model's name. Raises InputError, with the nearest that works, for a name of no model."""
    match = NAME.fullmatch(name)
    if not match:
        kind = re.sub(r"-?\d.*$", "", name)
        if kind == "lookup":
            raise InputError(f"model '{name}': the look-up table has no size; did you mean 'lookup'?")
        if kind in KINDS:
            raise InputError(f"model '{name}': expected {kind}-LAYERSxWIDTH, for example {kind}-2x64")
        raise unknown("model", kind, KINDS)
    kind, layers, width = match["kind"], int(match["layers"]), int(match["width"])
    if not kind.startswith("lstm") and width > HEAD_SIZE and width % HEAD_SIZE:
        nearest = max(1, round(width / HEAD_SIZE)) * HEAD_SIZE
        raise InputError(
            f"model '{name}': heads are {HEAD_SIZE} wide, expected a multiple, for example {kind}-{layers}x{nearest}"
        )
    return kind, layers, width


def check_size(name: str, vocab_size: int, max_length: int, copies: float = 1) -> None:
    """Raises TooLargeError where the memory here cannot hold so many copies of the weights, InputError for too many layers.

    Nothing is built. copies: 1 to build a model; training on a CPU also holds the gradient and the optimiser's moments.
    """
    kind, layers, width = size_of(name)
    number = count_of(kind, layers, width, vocab_size, max_length).total
    held = "to be trained on a CPU" if copies > 1 else "to be built"
    check_memory(
        round(BYTES * copies * number), f"model '{name}', {number:,} parameters, {held}", "choose a smaller one"
    )
    if layers > MOST_LAYERS:
        raise InputError(f"model '{name}': {layers} layers, expected at most {MOST_LAYERS}; choose fewer")


def make_model(name: str, vocab_size: int, max_length: int, dropout: float = 0.0) -> MaskedLM:
    """Such a model, its weights torch's own. Raises InputError for a name of no model and as `check_size`."""
    kind, layers, width = size_of(name)
    if torch.get_default_device().type != "meta":
        check_size(name, vocab_size, max_length)
    # torch's layers fill themselves from the global random state before ours do; it is given back as it was.
    with torch.random.fork_rng(devices=[]):
        if kind == "lstm":
            return Lstm(name, vocab_size, max_length, layers, width, dropout)
        if kind == "lstm-residual":
            return ResidualLstm(name, vocab_size, max_length, layers, width, dropout)
        heads, norm = max(1, width // HEAD_SIZE), "post" if kind == "bert-post" else "pre"
        if kind == "gpt":
            return Gpt(name, vocab_size, max_length, layers, width, heads, dropout)
        return Bert(name, vocab_size, max_length, layers, width, heads, norm, dropout)


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Weights normal with deviation 0.02 (LSTM matrices orthogonal-scale uniform), biases 0, norms 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif "bias" in name:
                parameter.zero_()
            elif "lstm" in name:
                bound = parameter.shape[1] ** -0.5
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                parameter.normal_(0.0, INITIAL_DEVIATION, generator=generator)


def dropout_of(model: nn.Module) -> float:
    """The probability with which the model drops a number in training."""
    return next((m.p for m in model.modules() if isinstance(m, nn.Dropout)), 0.0)


def save_model(model: MaskedLM, folder: Path) -> None:
    """Writes model.json (how to build it) and model.safetensors (its weights) into the folder."""
    description = {
        "name": model.name,
        "vocab_size": model.vocab_size,
        "max_length": model.max_length,
        "dropout": dropout_of(model),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
    safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, also where its path is not UTF-8, which safetensors opens none of."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return dict(safetensors.torch.load(path.read_bytes()))
    return dict(safetensors.torch.load_file(path))


def load_model(folder: str | Path) -> MaskedLM:
    """The model in a checkpoint's directory, or that of a run's last checkpoint, in evaluation mode.

    Raises InputError where there is none, or where a file is damaged.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        checkpoints = sorted(folder.glob("checkpoints/step-*/" + DESCRIPTION))
        if not checkpoints:
            raise InputError(f"{folder}: no checkpoint here, expected a run or a checkpoint directory; train one first")
        folder = checkpoints[-1].parent
    try:
        if damaged := damaged_file(folder, (DESCRIPTION, WEIGHTS)):
            raise ValueError(damaged)
        description = json.loads((folder / DESCRIPTION).read_text())
        model = make_model(
            description["name"], description["vocab_size"], description["max_length"], description["dropout"]
        )
        model.load_state_dict(load_tensors(folder / WEIGHTS))
    except TooLargeError:
        raise
    except (OSError, KeyError, ValueError, TypeError, SafetensorError, RuntimeError) as error:
        remedy = "take another one (--step), or train again (with another --out)"
        raise InputError(f"{folder}: damaged checkpoint ({error}); {remedy}") from None
    return model.eval()
