"""Tasks by the kinds that are registered: what is listed, what settings address, and what is refused."""

from dataclasses import dataclass

import pytest
import torch

from satlab.errors import InputError
from satlab.estimate import Estimate
from satlab.generators import HMM, Language, Task, TaskKind, find_task, load_language, task_kinds
from satlab.generators.tasks import canonical_name


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Length(Task):
    def __init__(self, name, language):
        self.name, self.classes = name, tuple(map(str, range(language.max_length + 1)))

    def labels(self, sentences):
        return sentences.lengths

    def bayes_accuracy(self, num_sentences, generator):
        return Estimate(1.0, 0.0, num_sentences)


@pytest.fixture
def plugged():
    """Three kinds of a plug-in: one for all languages, one with a setting that must be given, one with an own name."""
    before = (len(task_kinds), dict(task_kinds.entries))[1]

    @task_kinds.register("length")
    @dataclass(frozen=True)
    class Lengths(TaskKind[Language]):
        needs = Language

        def tasks(self, language):
            yield Length(self.name, language)

    @task_kinds.register("needy")
    @dataclass(frozen=True)
    class Needy(TaskKind[HMM]):
        least: int

        needs = HMM

        def tasks(self, language):
            if self.least > language.num_states:
                raise InputError(f"least is {self.least}, expected at most {language.num_states}; choose another")
            yield Length(self.name, language)

    @task_kinds.register("a-namesake")
    @dataclass(frozen=True)
    class Namesake(TaskKind[Language]):
        needs = Language

        def tasks(self, language):
            yield Length("A", language)
            yield Length("state-1", language)

    yield
    task_kinds.entries = before


@pytest.mark.parametrize(
    ("source", "own"),
    [
        ("demo-pcfg", ["A", "B", "C", "tree-A", "tree-B", "tree-C"]),
        ("demo-hmm", [f"state-{k}" for k in range(1, 9)]),
        ("wei2021-memory-hmm", ["state-1", "state-256", "state-512", "slot", "posterior"]),
        ("brackets", ["mismatches", "difference-4", "difference-8", "difference-12"]),
        ("dyck-1", ["depth-4", "depth-8", "depth-12"]),
    ],
)
def test_a_language_lists_its_own_tasks_then_those_of_plug_ins(source, own, plugged):
    language = load_language(source)
    assert list(language.own_tasks) == own
    assert list(language.tasks)[: len(own)] == own
    assert {"length"} <= set(language.tasks) - set(own) <= {"length", "A", "state-1"}
    assert all(language.tasks[name] is language.own_tasks[name] for name in own)
    assert all(task.name == name for name, task in language.tasks.items())


def test_what_is_cached_is_made_anew_for_another_device():
    language = load_language("demo-hmm")
    moved = (language.tasks, language.chain, language.to("cpu"))[2]
    assert "tasks" not in vars(moved)
    assert all(task.language is moved for task in moved.tasks.values())
    assert moved.chain is not language.chain


@pytest.mark.parametrize(
    ("source", "settings", "listed"),
    [
        ("demo-hmm", "state:position=3", "state-3"),
        ("demo-pcfg", "inside:words=2,symbols={C}", "C"),
        ("demo-pcfg", "tree:symbols={C},words=2", "tree-C"),
        ("demo-pcfg", "tree:symbols={A}", "tree-A"),
        ("brackets", "difference:words=4", "difference-4"),
        ("dyck-1", "depth:words=8", "depth-8"),
    ],
)
def test_settings_give_the_task_that_the_language_lists(source, settings, listed):
    language = load_language(source)
    spans = {name: " ".join(span.symbols) for name, span in getattr(language, "spans", {}).items()}
    name = settings.format(**spans)
    task, expected = find_task(language, name), language.tasks[listed]
    assert task.name == canonical_name(name)
    assert find_task(language, task.name).name == task.name
    assert task.classes == expected.classes
    sentences = language.sample(100, generator())
    assert torch.equal(task.labels(sentences), expected.labels(sentences))
    assert task.bayes_accuracy(50, generator(1)) == expected.bayes_accuracy(50, generator(1))


def test_settings_choose_what_no_name_stands_for():
    language = load_language("dyck-1")
    assert "depth-5" not in language.tasks
    assert find_task(language, "depth:words=5").classes == ("0", "1", "3", "5")
    assert find_task(language, "tree:symbols=S,words=2").classes == ("S", "none")


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("demo-hmm", "stat-1", r"^unknown task 'stat-1': did you mean 'state-1'\?$"),
        ("demo-hmm", "stat:position=1", r"^unknown task 'stat': did you mean 'state'\?$"),
        (
            "demo-hmm",
            "state",
            "^task 'state' names several tasks of this language, expected one; choose from state-1, ",
        ),
        ("demo-hmm", "state:position=9", "^task 'state:position=9': position is 9, expected 1 to 8; choose another$"),
        ("demo-hmm", "depth:words=2", "^this language has no task 'depth:words=2', expected one of: state-1, "),
        ("demo-hmm", "needy", "^task 'needy' needs the setting 'least'; write needy:least=VALUE$"),
        ("demo-hmm", "needy:least=9", "^task 'needy:least=9': least is 9, expected at most 4; choose another$"),
        ("demo-pcfg", "needy:least=1", "^this language has no task 'needy:least=1'"),
        ("demo-pcfg", "tree:words=2", "^task 'tree:words=2': words is 2 without symbols, expected both"),
        ("demo-pcfg", "tree:symbols=Q", "^task 'tree:symbols=Q': unknown nonterminal 'Q'"),
        ("demo-pcfg", 'tree:symbols=" "', "symbols is empty, expected nonterminals separated by spaces"),
        ("demo-pcfg", "tree:symbols=S,words=0", "words is 0, expected at least 1"),
        ("brackets", "difference:words=16", "words is 16, expected 1 to 15"),
    ],
)
def test_what_does_not_exist_is_told_in_one_line(source, name, message, plugged):
    with pytest.raises(InputError, match=message):
        find_task(load_language(source), name)


def test_a_setting_that_must_be_given_is_addressed_and_not_listed(plugged):
    language = load_language("demo-hmm")
    assert "needy" not in language.tasks
    assert find_task(language, "needy:least=2").name == "needy:least=2"


def test_unknown_names_keep_their_text():
    assert [canonical_name(name) for name in ("A", "no:such=1", "state:position=0x", "state: position = 07")] == [
        "A",
        "no:such=1",
        "state:position=0x",
        "state:position=7",
    ]
