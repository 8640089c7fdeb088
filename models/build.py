"""Builds models by name, and saves and loads them."""

import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import InputError, TooLargeError
from ..generators import Language
from ..generators.named import takes_names
from ..randomness import random_stream
from ..system.memory import check_memory
from ..system.sums import damaged_file
from .files import DESCRIPTION, WEIGHTS
from .interface import LanguageModel
from .names import name_of, network_of
from .networks.base import Network, SizedNetwork

MOST_LAYERS = 1000
"""The largest number of layers of a model. More layers take minutes to build, whatever their width."""

BYTES = 4
"""Bytes of a weight."""


@takes_names
def build_model(name: str, language: Language, seed: int = 0, dropout: float = 0.0) -> LanguageModel:
    """An untrained model for a language, with weights drawn from the seed's stream "init".

    Args:
        name: "bert-2x64" (kind, layers x width), "bert-2x128:heads=4" (with settings), or "lookup"; see `names`.
        language: the language whose words the model reads.
        seed: the seed of the initial weights.
        dropout: probability of dropping an activation in training.

    Returns:
        The model, in training mode.

    Raises:
        InputError: for an unknown name, and for a size that this machine's memory cannot hold.

    Example:
        >>> from satlab.generators import load_language
        >>> model = build_model("bert-2x16", load_language("demo-hmm"))
        >>> sum(parameter.numel() for parameter in model.parameters())
        6954
        >>> model(torch.tensor([[0, 1, 2]])).shape  # a logit for each word at each position
        torch.Size([1, 3, 10])
    """
    network = network_of(name)
    canonical = name_of(network)
    _check_buildable(network, canonical, language.vocab_size, language.max_length)
    # torch's layers draw weights from the global random state before ours are drawn, so that state is restored.
    with torch.random.fork_rng(devices=[]):
        model = network.build_for(canonical, language, dropout)
    network.initialise(model, random_stream(seed, "init"))
    return model


def make_model(name: str, vocab_size: int, max_length: int, dropout: float = 0.0) -> LanguageModel:
    """A model with the weights that torch initialises, for loading other weights into it.

    Args:
        name: the model's name, as in `build_model`.
        vocab_size: V, the number of words.
        max_length: T, the number of words in the longest sentence.
        dropout: probability of dropping an activation in training.

    Returns:
        The model, in training mode.

    Raises:
        InputError: for an unknown name, and for a size that this machine's memory cannot hold.
    """
    network = network_of(name)
    canonical = name_of(network)
    _check_buildable(network, canonical, vocab_size, max_length)
    with torch.random.fork_rng(devices=[]):
        return network.build(canonical, vocab_size, max_length, dropout)


def check_size(name: str, vocab_size: int, max_length: int, copies: float = 1) -> None:
    """Checks, without building the model, that this machine's memory can hold some copies of its weights.

    Args:
        name: the model's name.
        vocab_size: V, the number of words.
        max_length: T, the number of words in the longest sentence.
        copies: number of copies; 1 to build the model. Training on a CPU also holds the gradient and the optimiser's
            moments.

    Raises:
        TooLargeError: if the memory cannot hold them.
        InputError: for an unknown name, and for too many layers.
    """
    network = network_of(name)
    _check_size(network, name_of(network), vocab_size, max_length, copies)


def _check_buildable(network: Network, name: str, vocab_size: int, max_length: int) -> None:
    # Tensors on the device "meta" take no memory.
    if torch.get_default_device().type != "meta":
        _check_size(network, name, vocab_size, max_length)


def _check_size(network: Network, name: str, vocab_size: int, max_length: int, copies: float = 1) -> None:
    number = network.count(vocab_size, max_length).total
    held = "to be trained on a CPU" if copies > 1 else "to be built"
    what = f"model '{name}', {number:,} parameters, {held}"
    check_memory(round(BYTES * copies * number), what, "choose a smaller one")
    if isinstance(network, SizedNetwork) and network.layers > MOST_LAYERS:
        raise InputError(f"model '{name}': {network.layers} layers, expected at most {MOST_LAYERS}; choose fewer")


def dropout_of(model: nn.Module) -> float:
    """The probability that the model drops an activation in training."""
    return next((m.p for m in model.modules() if isinstance(m, nn.Dropout)), 0.0)


@takes_names
def save_model(model: LanguageModel, folder: Path) -> None:
    """Writes model.json (how to build the model) and model.safetensors (its weights) into the folder."""
    description = {
        "name": model.name,
        "vocab_size": model.vocab_size,
        "max_length": model.max_length,
        "dropout": dropout_of(model),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
    save_weights(model, folder / WEIGHTS)


def save_weights(model: LanguageModel, path: Path) -> None:
    """Writes the weights of a model as a .safetensors file."""
    save_tensors({k: v.contiguous() for k, v in model.state_dict().items()}, path)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes tensors as a .safetensors file with the permissions that any new file gets here, not its owner's alone."""
    path.touch()
    mode = path.stat().st_mode
    safetensors.torch.save_file(tensors, path)
    path.chmod(mode)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file. Also works for a path that is not UTF-8, which safetensors cannot open."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return dict(safetensors.torch.load(path.read_bytes()))
    return dict(safetensors.torch.load_file(path))


def load_model(folder: str | Path, weights: str = WEIGHTS) -> LanguageModel:
    """The model of a checkpoint, or of a run's last checkpoint.

    Args:
        folder: the directory of a checkpoint or of a run.
        weights: the name of the weights' file in the checkpoint.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: if there is no checkpoint, or if one of its files is damaged.
        TooLargeError: if this machine's memory cannot hold the model.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from satlab.generators import load_language
        >>> with TemporaryDirectory() as folder:
        ...     save_model(build_model("gpt-1x8", load_language("demo-hmm")), Path(folder))
        ...     load_model(folder).name
        'gpt-1x8'
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        checkpoints = sorted(folder.glob("checkpoints/step-*/" + DESCRIPTION))
        if not checkpoints:
            raise InputError(f"{folder}: no checkpoint here, expected a run or a checkpoint directory; train one first")
        folder = checkpoints[-1].parent
    try:
        return _loaded(folder, weights).eval()
    except TooLargeError:
        raise
    except (OSError, KeyError, ValueError, TypeError, SafetensorError, RuntimeError) as error:
        remedy = "use another checkpoint (--step), or train again (with another --out)"
        raise InputError(f"{folder}: damaged checkpoint ({error}); {remedy}") from None


def _loaded(folder: Path, weights: str) -> LanguageModel:
    """The model of a checkpoint. Any error except TooLargeError means that a file is damaged."""
    if damaged := damaged_file(folder, (DESCRIPTION, weights)):
        raise ValueError(damaged)
    description = json.loads((folder / DESCRIPTION).read_text())
    model = make_model(
        description["name"], description["vocab_size"], description["max_length"], description["dropout"]
    )
    model.load_state_dict(load_tensors(folder / weights))
    return model
