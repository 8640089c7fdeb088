"""Speed of head and prompt tuning beside a plain implementation, in seconds for the same work.

    python benchmarks/tuning.py [--examples 5000] [--epochs 100] [--plain-epochs 1] [--rounds 3]
        [--cases head prompt] [--out DIR]

A bert-2x128 over texts of 80 words of wei2021-hmm. The plain implementation freezes the network and runs all of it on
every batch of every epoch; since that takes long, it is timed over --plain-epochs epochs, and its seconds are
multiplied by epochs / plain epochs. Ours reads features once (head), or runs the last block at the mask alone (prompt);
its seconds are of all epochs, features included.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import machine
from timing import at_least_two, mean_and_error
from torch import Tensor, nn
from torch.nn import functional as F

from satlab.generators import Sentences, find_task, load_language
from satlab.models import LanguageModel, build_model
from satlab.probes import HeadAdamW, PromptTuning
from satlab.probes.prompt import Prompted, frozen
from satlab.probes.released import initial_head
from satlab.probes.tuning.labelled import Labelled
from satlab.probes.tuning.layout import Layout
from satlab.probes.tuning.readings import read
from satlab.randomness import random_stream

PROMPT, BATCH = 20, 128


def plain_epoch(forward: Callable[[Tensor], Tensor], trained: list[nn.Parameter], tokens: Tensor, y: Tensor) -> None:
    """One epoch by torch's own AdamW, the forward pass of the whole network at all positions."""
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.0)
    for rows in torch.arange(len(y)).split(BATCH):
        loss = F.cross_entropy(forward(tokens[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def plain_head(model: LanguageModel) -> tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]:
    weight, bias = initial_head(2, model.num_classes, random_stream(0, "probe"))
    layout = Layout(model.max_length)
    return (
        lambda text: F.linear(model(layout.tokens(model, text))[:, 0].softmax(1), weight, bias),
        [weight, bias],
    )


def plain_prompt(model: LanguageModel) -> tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]:
    layout = Layout(model.max_length, PROMPT)
    prompted = Prompted(model, layout, 2, "words", "words", random_stream(0, "probe"))

    def forward(text: Tensor) -> Tensor:
        longer = torch.cat([model.get_parameter(prompted.table), prompted.vectors])
        logits = torch.func.functional_call(model, {prompted.table: longer}, (layout.tokens(model, text),))
        return F.linear(logits[:, layout.mask].softmax(1), prompted.weight, prompted.bias)

    return forward, prompted.trained


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def plain_seconds(
    plain: Callable[[LanguageModel], tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]],
    model: LanguageModel,
    tokens: Tensor,
    labels: Tensor,
    epochs: int,
) -> float:
    """Of an epoch of the plain implementation, over so many epochs."""
    with frozen(model):
        forward, trained = plain(model)
        begin = time.perf_counter()
        for _ in range(epochs):
            plain_epoch(forward, trained, tokens, labels)
    return (time.perf_counter() - begin) / epochs


def rows_of(given: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each case: the head, and the prompt."""
    language = load_language({"preset": "wei2021-hmm", "length": 80 + 1 + PROMPT, "task_words": 80})
    model, task = build_model("bert-2x128", language), find_task(language, "posterior")
    texts = language.sample(given.examples, random_stream(0, "probe"))
    texts = Sentences(texts.tokens[:, :80], texts.lengths.clamp_max(80))
    labels = (texts.tokens[:, 0] > 4).long()
    one = Labelled(texts, labels, texts, labels, 0)
    head, prompt = (how(epochs=given.epochs, batch_size=BATCH) for how in (HeadAdamW, PromptTuning))
    ours = {
        "head": lambda: head.fit_head(read(model, texts, "words"), labels, 2, 0, 0),
        "prompt": lambda: prompt.tuned(model, one, 2, 0),
    }
    rows = []
    for name in given.cases:
        plain = {"head": plain_head, "prompt": plain_prompt}[name]
        times = [
            (seconds(ours[name]), plain_seconds(plain, model, texts.tokens, labels, given.plain_epochs) * given.epochs)
            for _ in range(given.rounds)
        ]
        row: dict[str, object] = {"case": name, "task": task.name, "examples": given.examples, "epochs": given.epochs}
        for key, values in (("seconds", [a for a, _ in times]), ("plain_seconds", [b for _, b in times])):
            row[key], row[f"{key}_stderr"] = mean_and_error(values)
        row["ratio"], row["ratio_stderr"] = mean_and_error([b / a for a, b in times])
        rows.append(row | {"plain_epochs_timed": given.plain_epochs, "rounds": given.rounds})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--plain-epochs", type=int, default=1)
    parser.add_argument("--rounds", type=at_least_two, default=3)
    parser.add_argument("--cases", nargs="+", default=["head", "prompt"], choices=["head", "prompt"])
    parser.add_argument("--out", type=Path, default=Path("results"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = rows_of(given)
    for row in rows:
        print(json.dumps(row))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "tuning.json").write_text(json.dumps({"machine": machine("cpu"), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
