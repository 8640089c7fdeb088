"""What is too large for the memory there is is refused before anything is built."""

import resource
import time

import pytest
import torch
from support.networks import demo_hmm

from satlab.errors import InputError, TooLargeError
from satlab.lab.runs.memory_check import check_model_room, check_sentences_room
from satlab.models import build_model, load_model, save_model
from satlab.models.build import check_size, make_model
from satlab.models.ladder import count_parameters
from satlab.system import memory
from satlab.system.memory import as_size, check_memory, machine_memory
from satlab.train import TrainConfig

GIBI = 2**30


@pytest.fixture
def room(monkeypatch):
    """Sets how much memory there seems to be; no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return lambda size: monkeypatch.setattr(memory, "machine_memory", lambda: size)


def test_this_machine_has_some():
    assert 2**26 < machine_memory() < 2**60


def written(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4096\n"}, 4096),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "8192\n"}, 8192),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, None),
        (
            {"proc/self/cgroup": "7:cpu:/a\n5:x,memory:/a\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "5\n"},
            5,
        ),
        ({"proc/self/cgroup": "7:cpu:/a\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "5\n"}, None),
        ({"proc/self/cgroup": "7:memory:/a\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}"}, None),
        ({}, None),
    ],
)
def test_control_groups_set_limits(tmp_path, files, expected):
    there = machine_memory(tmp_path / "none")
    assert machine_memory(written(tmp_path, files)) == (expected or there)


def test_ulimit_sets_a_limit():
    before = resource.getrlimit(resource.RLIMIT_AS)
    there = machine_memory()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**46, before[1]))
        assert machine_memory() == min(there, 2**46)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (3 * GIBI // 2, "1.5 GiB"),
        (2**60, "1 EiB"),
        (10**400, "10^400 bytes"),
    ],
)
def test_sizes_are_written_as_people_read_them(size, text):
    assert as_size(size).startswith(text)


def test_the_refusal_says_what_is_needed_and_what_is_there(room):
    room(2 * GIBI)
    check_memory(2 * GIBI, "all", "take less")
    with pytest.raises(
        TooLargeError, match=r"^all: needs at least 3 GiB of memory, .* the 2 GiB of this machine; take"
    ):
        check_memory(3 * GIBI, "all", "take less")
    room(None)
    check_memory(2**80, "all", "take less")


def test_a_gpu_may_have_more(room, monkeypatch):
    room(GIBI)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("GPU", (), {"total_memory": 4 * GIBI})())
    check_memory(4 * GIBI, "all", "take less", gpus=True)
    for needed, gpus in ((4 * GIBI, False), (5 * GIBI, True)):
        with pytest.raises(TooLargeError):
            check_memory(needed, "all", "take less", gpus=gpus)


@pytest.mark.parametrize(
    "name", ["bert-99999999x64", "bert-2x6400000", "gpt-1000x64000", "lstm-9x9999999", "lstm-5000x1"]
)
def test_nothing_is_built_of_what_does_not_fit(name, room):
    room(16 * GIBI)
    begin = time.monotonic()
    for build in (lambda: make_model(name, 10, 8), lambda: build_model(name, demo_hmm())):
        with pytest.raises(InputError, match=rf"model '{name}'.* expected at most .*; choose "):
            build()
    assert time.monotonic() - begin < 1


def test_exactly_as_much_as_there_is_fits(room):
    language, config = demo_hmm(), TrainConfig()
    V, T = language.vocab_size, language.max_length
    size = 4 * count_parameters("bert-2x64", V, T).total
    for copies in (1, 4):
        room(copies * size)
        check_size("bert-2x64", V, T, copies)
        room(copies * size - 1)
        with pytest.raises(TooLargeError, match="to be trained on a CPU" if copies > 1 else "to be built"):
            check_size("bert-2x64", V, T, copies)
    for config, copies in (
        (TrainConfig(), 4),
        (TrainConfig(optimizer="sgd"), 2),
        (TrainConfig(optimizer="sgd", momentum=0.5), 3),
        (TrainConfig(sharding="fsdp"), 1),
    ):
        room(copies * size)
        check_model_room("bert-2x64", language, config)
        room(copies * size - 1)
        with pytest.raises(TooLargeError):
            check_model_room("bert-2x64", language, config)


@pytest.mark.parametrize(
    ("settings", "name", "needed"),
    [
        ({"batch_size": 1000, "evaluation_sentences": 2}, "batch_size", lambda T, V: 8000 * T),
        (
            {"batch_size": 1000, "evaluation_sentences": 2, "targets": "exact"},
            "batch_size",
            lambda T, V: 8000 * (T + V),
        ),
        ({"batch_size": 1, "evaluation_sentences": 1000}, "evaluation_sentences", lambda T, V: 8000 * (T + V)),
        (
            {"batch_size": 1, "evaluation_sentences": 1000, "masking": "next"},
            "evaluation_sentences",
            lambda T, V: 8000 * (T + 2 * (V + 1)),
        ),
        (
            {"batch_size": 1, "evaluation_sentences": 1000, "masking": "bernoulli:0.25"},
            "evaluation_sentences",
            lambda T, V: 8000 * T + 2000 * V,
        ),
    ],
)
def test_sentences_and_their_truth_need_this_much(settings, name, needed, room):
    language, config = demo_hmm(), TrainConfig(**settings)
    size = needed(language.max_length, language.vocab_size)
    room(size)
    check_sentences_room(language, config)
    room(size - 1)
    with pytest.raises(TooLargeError, match=f"^{name} is 1000, "):
        check_sentences_room(language, config)


def test_a_model_too_large_to_be_loaded_is_not_called_damaged(tmp_path, room):
    save_model(build_model("bert-1x8", demo_hmm()), tmp_path)
    room(1000)
    with pytest.raises(TooLargeError, match=r"^model 'bert-1x8', "):
        load_model(tmp_path)
