"""A step in parts: the gradient of the whole, and a stop between two parts that loses nothing."""

import threading
from itertools import pairwise, product

import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, shaken
from support.training import check_same, comparable, known, running, session, short

from satlab.errors import InputError, StoppedError
from satlab.generators.batches import Stream
from satlab.generators.tasks import find_task
from satlab.models import build_model
from satlab.models.build import make_model
from satlab.models.ladder import count_parameters
from satlab.train import Adversary, checkpoints
from satlab.train import microbatch as parts
from satlab.train.parallel.world import World
from satlab.train.step import Stepper

ADVERSARY = {"adversary_task": "state-4", "adversary_strength": 0.7, "adversary_sentences": 32}


def stepper(name, language, config, **more):
    model = shaken(name, language, dropout=config.dropout)
    against = None
    if config.adversary_task is not None:
        against = Adversary(model, language, find_task(language, config.adversary_task), config)
    stream = Stream(language, config.batch_size, 1, config.masking or "one")
    return Stepper(model, config.optimizer_entry.build(model), stream, config, against, World(), **more)


def step_with(most, monkeypatch, *arguments):
    """(loss, gradients, words, sentences in each forward pass of the loss) of a step in parts of so much work."""
    monkeypatch.setattr(parts, "MOST_WORK", most)
    take, sizes = stepper(*arguments), []
    take.loss.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0].inputs)))
    loss, words, _ = take(1)
    return loss, [p.grad for p in take.model.parameters()], words, sizes


@pytest.mark.parametrize(
    "changes", [{}, {"targets": "exact"}, {"masking": "bernoulli:0.4", "targets": "exact"}, ADVERSARY]
)
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
def test_the_gradients_of_the_parts_are_that_of_the_whole(name, changes, monkeypatch):
    language = demo_hmm() if "adversary_task" in changes else grammar_language()
    config = short(batch_size=50, **changes)
    whole = step_with(1e12, monkeypatch, name, language, config)
    found = step_with(2e6, monkeypatch, name, language, config)
    assert whole[3] == [50]
    assert len(found[3]) > 2
    assert sum(found[3]) == 50
    assert max(found[3]) - min(found[3][:-1]) == 0
    assert found[0].item() == pytest.approx(whole[0].item(), abs=1e-12)
    assert found[2] == whole[2]
    assert max(gap(a, b) for a, b in zip(found[1], whole[1], strict=True)) < 1e-12
    assert max(float(g.abs().max()) for g in whole[1]) > 1e-3


@pytest.mark.parametrize(
    "changes", [{}, {"targets": "exact"}, {"masking": "bernoulli:0.4", "targets": "exact"}, ADVERSARY]
)
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
def test_the_gradients_of_micro_batches_are_that_of_the_whole(name, changes, monkeypatch):
    language = demo_hmm() if "adversary_task" in changes else grammar_language()
    whole = step_with(1e12, monkeypatch, name, language, short(batch_size=50, **changes))
    found = step_with(1e12, monkeypatch, name, language, short(batch_size=50, micro_batch=7, **changes))
    assert (whole[3], found[3]) == ([50], [6, 6, 6, 7] * 2)
    assert found[0].item() == pytest.approx(whole[0].item(), abs=1e-12)
    assert max(gap(a, b) for a, b in zip(found[1], whole[1], strict=True)) < 1e-12
    assert max(float(g.abs().max()) for g in whole[1]) > 1e-3


def test_a_micro_batch_that_holds_the_batch_changes_no_bit(tmp_path):
    one, other = (session(tmp_path / str(size), "bert-1x16", short(micro_batch=size)) for size in (None, 8))
    check_same(tmp_path / "None", one, tmp_path / "8", other)


def test_the_parts_of_the_processes_are_as_many_and_none_is_empty():
    for sentences, most, processes in product((3, 4, 5, 7, 8, 12, 31), range(1, 9), (1, 2, 3)):
        number = parts.passes(sentences, most, processes)
        batch = Stream(demo_hmm(), sentences, 1).batch(1)
        for rank in range(processes):
            share, _ = World(rank, processes).share(batch, None)
            sizes = [len(part.inputs) for part, _ in parts.even_parts(share, None, number)]
            assert (len(sizes), sum(sizes)) == (number, len(share.inputs))
            assert min(sizes) >= 1
            # Processes that cannot share evenly may read one sentence more than a single one.
            assert max(sizes) <= max(most, 1 + (processes > 1 and most == 1))


def test_a_micro_batch_has_a_sentence():
    with pytest.raises(InputError, match="micro_batch is 0, expected at least 1"):
        short(micro_batch=0)


def test_parts_that_draw_for_dropout_do_not_draw_the_same(monkeypatch):
    """All sentences are the same one: without dropout all parts have the same loss, with it no two have."""
    found = {}
    for dropout in (0.0, 0.3):
        monkeypatch.setattr(parts, "MOST_WORK", 1.0)
        take, losses = stepper("bert-2x16", demo_hmm(), short(batch_size=4, dropout=dropout)), []
        one = take.stream.batch(1)
        batch = type(one)(one.inputs[:1].repeat(4, 1), one.rows, one.positions[:1].repeat(4), one.targets[:1].repeat(4))
        monkeypatch.setattr(take.stream, "batch", lambda step, batch=batch: batch)
        take.loss.register_forward_hook(lambda module, given, loss, losses=losses: losses.append(float(loss.detach())))
        take(1)
        found[dropout] = losses
    assert max(abs(a - b) for a, b in pairwise(found[0.0])) < 1e-12
    assert len({round(loss, 9) for loss in found[0.3]}) == 4


@pytest.mark.parametrize("kind", ["bert", "bert-post", "lstm", "lstm-residual", "gpt"])
def test_the_number_of_parts_is_that_of_operations_over_what_a_part_may_have(kind, monkeypatch):
    language = demo_hmm()
    model, count = (
        build_model(f"{kind}-2x16", language),
        count_parameters(f"{kind}-2x16", language.vocab_size, language.max_length),
    )
    monkeypatch.setattr(parts, "MOST_WORK", 6.0 * count.without_embeddings * 10)
    assert [parts.number_of_parts(model, words) for words in (0, 1, 10, 11, 20, 21)] == [1, 1, 1, 5, 8, 9]


def test_what_trains_in_seconds_is_one_part():
    """The default batch of a small model, and the paper's of a large one: 8 layers of width 512, 4096 sentences."""
    language = demo_hmm()
    assert parts.number_of_parts(build_model("bert-2x64", language), 256 * 32) == 1
    with torch.device("meta"):
        large = make_model("bert-8x512", 200, 32)
    assert 20 <= parts.number_of_parts(large, 4096 * 16) <= 80


def test_several_processes_take_a_step_at_once(monkeypatch):
    monkeypatch.setattr(World, "wrap", lambda self, module: module)
    model, config, stream = shaken("bert-1x16", demo_hmm()), short(), Stream(demo_hmm(), 8, 1)
    for world, alone in ((World(), True), (World(1, 2), False)):
        take = Stepper(model, config.optimizer_entry.build(model), stream, config, None, world, lambda: True)
        assert (take.alone, take.stops()) == (alone, alone)


# ---- a stop in the middle

WAYS = {
    "dropout": {"dropout": 0.3, "masking": "bernoulli:0.4"},
    "exact": {"targets": "exact", "optimizer": "sgd", "momentum": 0.9, "lr": 0.1},
    "adversary": {"dropout": 0.2, "adversary_sentences": 16} | {k: ADVERSARY[k] for k in list(ADVERSARY)[:2]},
}


@pytest.mark.parametrize("way", ["dropout", "exact", pytest.param("adversary", marks=pytest.mark.slow)])
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_stop_in_the_middle_of_a_step_loses_nothing(way, stride, tmp_path, monkeypatch):
    """Whenever it comes, the step before has its checkpoint, a kept one stays kept, and the bits are the same."""
    monkeypatch.setattr(parts, "MOST_WORK", 8e5)
    config = short(steps=6, checkpoints=[2], resume_every=3, evaluate_every=2, **WAYS[way])
    whole, middle = session(tmp_path / "whole", "bert-1x16", config), 0
    for asked in range(1, 1000, stride):
        count, seen, rows, run = [0], [0], [], tmp_path / str(asked)

        def stop(count=count, asked=asked):
            count[0] += 1
            return count[0] == asked

        try:
            training = running(run, "bert-1x16", config, lambda step, loss, seen=seen: seen.append(step), stop)
            rows.extend(row.as_json() for row in training)
            break
        except StoppedError as error:
            step = int(str(error).split()[3])
            assert step == seen[-1]
        found = checkpoints(run, kept_only=False)
        assert [s for s, _ in found][-1:] == ([step] if step else [])
        middle += 1
        check_same(tmp_path / "whole", whole, run, session(run, "bert-1x16", config, rows))
    assert middle * stride > 6 * 3 + 3
    assert comparable(known(run, rows)) == comparable(whole)


def test_a_stop_does_not_wait_for_the_truth_of_a_batch():
    """Of the one that is waited for, nor of the one after it, which a thread makes ahead."""
    language, asked, entered = demo_hmm(), threading.Event(), threading.Event()
    take = stepper("bert-1x16", language, short(targets="exact"), stops=asked.is_set)
    truth = take.stream.truth

    def endless(batch, stops):
        if threading.current_thread() is threading.main_thread():
            return truth(batch, stops)
        entered.set()
        while not stops():
            pass
        raise StoppedError("at last")

    take.stream.truth = endless
    take(1)
    assert entered.wait(60)
    asked.set()
    before = [p.detach().clone() for p in take.model.parameters()]
    with pytest.raises(StoppedError):
        take(2)
    take.end()
    take.maker.shutdown(wait=True)
    assert all(torch.equal(p, b) for p, b in zip(take.model.parameters(), before, strict=True))
