"""Speed of training beside Hugging Face's BertForMaskedLM: a table, a JSON file, and how a step's cost grows.

    python benchmarks/training.py [--rounds 5] [--device cpu] [--precision float32] [--compile]
        [--rows 1x64 4x128 ...] [--out DIR]

Both sides have the same shape (bert-post is the published BERT), the same batches, precision and optimiser, and both
are compiled or neither. Rates are words a second, padding not counted. The matrix rate is that of one large product,
measured beside; FLOPs are 2 a multiplication, those of the words' matrix products of the whole network, forward and
backward (3 times forward).
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from growth import Panel, draw_panels, write_rows
from machine import machine
from timing import Case, Work, at_least_two, measure, rate, table
from transformers import BertConfig, BertForMaskedLM

from satlab.generators import Language, load_language
from satlab.generators.batches import Batch, Stream
from satlab.models import build_model
from satlab.models.ops.fast_linear import linear
from satlab.train import TrainConfig
from satlab.train.parallel.world import World
from satlab.train.step import Stepper

LANGUAGES = ("liu2022-hmm", "liu2022-pcfg")
CPU_ROWS = {"1x64": 256, "4x128": 256, "6x256": 256, "8x512": 128, "12x768": 64}
GPU_ROWS = {"1x64": 4096, "4x128": 4096, "8x512": 4096, "12x768": 2048, "16x1024": 2048}
"""Shape, and sentences a step."""

FIXED = {
    "width": "2 layers, 64 sentences of 16",
    "layers": "width 128, 64 sentences of 16",
    "batch": "2 layers, width 128, length 16",
    "length": "2 layers, width 128, 64 sentences",
}


def settings(arguments: argparse.Namespace, batch_size: int) -> TrainConfig:
    return TrainConfig(batch_size=batch_size, precision=arguments.precision, compile=arguments.compile)


def ours(name: str, language: Language, config: TrainConfig, device: str) -> Work:
    """Training as satlab does it: each batch is new, and made within the time that is measured."""
    model = build_model(name, language).to(device)
    stream = Stream(language, config.batch_size, 0)
    take = Stepper(model, config.optimizer_entry.build(model), stream, config, None, World())
    steps = itertools.count(1)

    def work() -> int:
        return int(take(next(steps))[1])

    return work


def hugging_face(name: str, language: Language, config: TrainConfig, device: str) -> Work:
    """The same network as transformers has it, on batches that were made before."""
    layers, width = map(int, name.removeprefix("bert-post-").split("x"))
    shape = BertConfig(
        vocab_size=language.vocab_size + 3,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        intermediate_size=4 * width,
        max_position_embeddings=language.max_length + 1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=language.pad_id,
    )
    network: Any = BertForMaskedLM(shape).to(device).train()
    if config.compile:
        network.compile()
    optimizer = config.optimizer_entry.build(network)
    stream = Stream(language, config.batch_size, 0)
    batches = itertools.cycle([labelled(stream.batch(step), language) for step in range(1, 5)])

    def work() -> int:
        inputs, labels, words = next(batches)
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
            loss = network(input_ids=inputs, attention_mask=inputs != language.pad_id, labels=labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        return words

    return work


def labelled(batch: Batch, language: Language) -> tuple[torch.Tensor, torch.Tensor, int]:
    labels = torch.full_like(batch.inputs, -100)
    labels[batch.rows, batch.positions] = batch.targets
    return batch.inputs, labels, int((batch.inputs != language.pad_id).sum())


def repeated(work: Work, seconds: float = 1.0) -> Work:
    """The work again and again for about this long."""

    def many() -> int:
        begin, units = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            units += work()
        return units

    return many


def data_share(language: Language, step: Work, batch_size: int, device: str) -> float:
    """What making a batch takes, as a share of a step that makes its own."""
    stream, steps = Stream(language, batch_size, 1), itertools.count(1)

    def batch() -> int:
        made = stream.batch(next(steps))
        return int((made.inputs != language.pad_id).sum())

    return rate(repeated(step), device) / rate(repeated(batch, 0.3), device)


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of a product of two large square matrices, the best of some, by torch.mm and as our layers take it."""
    size = 2048 if device == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)

    def product(multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> int:
        multiply(a, b)
        return 2 * size**3

    return max(rate(partial(product, multiply), device) for multiply in (torch.mm, linear) for _ in range(10))


def flops_a_word(name: str) -> float:
    """Of a whole network's matrix products, forward and backward; the head and attention's T x T products left out."""
    layers, width = map(int, name.rsplit("-", 1)[1].split("x"))
    return 3 * 2 * 12.0 * layers * width**2


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    device = arguments.device
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    sizes = CPU_ROWS if device == "cpu" else GPU_ROWS
    for preset, shape in itertools.product(LANGUAGES, arguments.rows or sizes):
        language, config = load_language(preset).to(device), settings(arguments, sizes.get(shape, 64))
        name = f"bert-post-{shape}"
        mine = ours(name, language, config, device)
        theirs = hugging_face(name, language, config, device)
        case = Case(
            f"{preset}, {shape}", "words", repeated(mine), "transformers BertForMaskedLM", repeated(theirs)
        )  # fmt: skip
        row = measure(case, arguments.rounds, device)
        row["batch_size"], row["data_share"] = config.batch_size, data_share(language, mine, config.batch_size, device)
        row["flops_share"] = row["ours"] * flops_a_word(name) / matrix_rate(device, dtype)
        yield row


def growth(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """ms a step along width, depth, batch and length, the others fixed; mean and standard error over the rounds."""
    base = {"layers": 2, "width": 128, "batch": 64, "length": 16}
    ranges = {"width": (64, 128, 256, 512), "layers": (1, 2, 4, 8), "batch": (16, 64, 256), "length": (8, 16, 32, 64)}
    found = []
    for along, values in ranges.items():
        for value in values:
            at = base | {along: value}
            family = {"family": "random-hmm", "states": 20, "words": 200, "length": at["length"]}
            language = load_language(family).to(arguments.device)
            config = settings(arguments, at["batch"])
            work = ours(f"bert-{at['layers']}x{at['width']}", language, config, arguments.device)
            work()
            words = at["batch"] * at["length"]
            taken = [1e3 * words / rate(repeated(work, 0.3), arguments.device) for _ in range(arguments.rounds)]
            mean, deviation = torch.tensor(taken).mean().item(), torch.tensor(taken).std().item()
            found.append({"along": along, **at, "ms": mean, "stderr": deviation / arguments.rounds**0.5})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=at_least_two, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rows", nargs="*", default=None, metavar="LAYERSxWIDTH")
    parser.add_argument("--no-growth", action="store_true", help="leave the growth curves out")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = []
    for row in rows(given):
        found.append(row)
        print(table(found) if len(found) == 1 else table([row]).splitlines()[1], flush=True)
    how = {"precision": given.precision, "compile": given.compile}
    content = {"machine": machine(given.device), **how, "rows": found}
    (given.out / f"training-{given.device}.json").write_text(json.dumps(content, indent=1) + "\n")
    if given.no_growth:
        return
    curves = growth(given)
    write_rows(given.out / f"training-growth-{given.device}.csv", curves)
    panels = []
    for along in dict.fromkeys(row["along"] for row in curves):
        points = [(row[along], row["ms"], row["stderr"]) for row in curves if row["along"] == along]
        panels.append(Panel(FIXED[along], along, points))
    draw_panels(given.out / f"training-growth-{given.device}.png", "Training of BERT", "ms a step", panels)


if __name__ == "__main__":
    main()
