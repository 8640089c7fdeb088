"""The examples of docs/extending.md, as a plug-in that others have installed: what the page says of them holds."""

import csv
import importlib
import json
import os
import re
import subprocess
import sys
from itertools import product

import pytest
import torch
from support import ROOT

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.corpus.writer import write_corpus
from satlab.generators.tasks import canonical_name, find_task

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the page's Python as my_measures.py, and the entry point of its package."""
    folder = tmp_path_factory.mktemp("plugin")
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    (folder / "my_measures.py").write_text("\n\n".join(BLOCK.findall(page)), encoding="utf-8")
    info = folder / "my_measures-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-measures\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[satlab.plugins]\nmy-measures = my_measures\n")
    return folder


@pytest.fixture(scope="module")
def examples(installed):
    """The page's module, in this process; the registries are left as they were."""
    from satlab.flatness import flatness_measures
    from satlab.generators import task_kinds
    from satlab.models.networks.base import networks
    from satlab.train.objectives import objectives
    from satlab.train.optimizers import optimizers
    from satlab.train.schedules import schedules

    registries = (networks, flatness_measures, optimizers, schedules, objectives, task_kinds)
    before = [(len(registry), dict(registry.entries))[1] for registry in registries]
    sys.path.insert(0, str(installed))
    try:
        yield importlib.import_module("my_measures")
    finally:
        sys.path.remove(str(installed))
        del sys.modules["my_measures"]
        for registry, entries in zip(registries, before, strict=True):
            registry.entries = entries


def test_the_language_is_exact(examples):
    language = examples.Copies(vocab_size=3, half=2)
    strings = torch.tensor(list(product(range(3), repeat=4)))
    p = language.log_prob(strings).exp()
    assert torch.allclose(p.sum(), torch.ones((), dtype=torch.float64), atol=1e-12)
    sentences = language.sample(5, torch.Generator().manual_seed(0)).tokens
    ahead = language.next_word(sentences)
    words = torch.cat([sentences, torch.full((5, 1), 3)], 1)
    chain = ahead.gather(2, words[..., None])[..., 0].log().sum(1)
    assert torch.allclose(chain, language.log_prob(sentences), atol=1e-12)
    hidden = torch.tensor([[True, False, True, False]]).expand(5, 4)
    found = language.conditional(sentences, hidden=hidden)
    for row, t, v in product(range(5), range(4), range(3)):
        seen = [u for u in range(4) if u != t and not hidden[row, u]]
        fits = (strings[:, seen] == sentences[row, seen]).all(1)
        expected = p[fits & (strings[:, t] == v)].sum() / p[fits].sum()
        assert torch.allclose(found[row, t, v], expected, atol=1e-12)


@pytest.mark.parametrize("name", ["convolution-1x4", "convolution-3x8:kernel=5"])
def test_the_network_is_what_its_count_says(examples, name):
    from satlab.models import build_model
    from satlab.models.ladder import count_parameters

    language = examples.Copies(vocab_size=3, half=2)
    model, count = build_model(name, language, seed=1), count_parameters(name, 3, 4)
    assert model.name == name
    assert count.total == sum(parameter.numel() for parameter in model.parameters())
    assert count.embeddings == model.words.embedding.weight.numel()
    short = language.sample(5, torch.Generator().manual_seed(0)).tokens[:, :3]
    padded = torch.nn.functional.pad(short, (0, 2), value=model.pad_id)
    assert torch.allclose(model(padded)[:, :3], model(short), atol=1e-6)
    with pytest.raises(InputError, match="kernel is 0, expected at least 1"):
        build_model("convolution-1x4:kernel=0", language)


def test_a_model_is_trained_on_the_language(examples, tmp_path):
    assert 0 < examples.kl_of_copies(tmp_path / "run") < 10


def test_the_sign_optimiser_takes_a_step(examples):
    model = torch.nn.Linear(2, 1)
    before = model.weight.detach().clone()
    optimizer = examples.Sign(lr=0.5).build(model)
    (model.weight * torch.tensor([[3.0, -2.0]])).sum().backward()
    optimizer.step()
    assert torch.allclose(model.weight, before - 0.5 * torch.tensor([[1.0, -1.0]]))


def test_the_task_is_listed_and_addressed_by_its_settings(examples):
    language = load_language("demo-pcfg")
    own = ["A", "B", "C", "tree-A", "tree-B", "tree-C"]
    assert list(language.tasks) == [*own, "word"]
    assert list(language.own_tasks) == own
    sentences = language.sample(50, torch.Generator().manual_seed(0))
    for name, position in (("word", 1), ("word:position=1", 1), ("word: position = 6", 6)):
        task = find_task(language, name)
        assert task.name == canonical_name(name) == ("word" if position == 1 else "word:position=6")
        labels = [task.classes[label] for label in task.labels(sentences)]
        texts = [text.split() for text in language.decode(sentences)]
        assert labels == [text[position - 1] if position <= len(text) else "end" for text in texts]


def test_a_task_that_does_not_fit_is_told_in_one_line(examples):
    language = load_language("demo-hmm")
    for name, message in (
        ("word:position=9", "^task 'word:position=9': position is 9, expected 1 to 8; choose another$"),
        ("word:position=two", "^task 'word': setting 'position' is 'two', expected a whole number; correct it$"),
        ("word:positon=2", r"^task 'word': unknown setting 'positon': did you mean 'position'\?$"),
        ("wrd", r"^unknown task 'wrd': did you mean 'word'\?$"),
    ):
        with pytest.raises(InputError, match=message):
            find_task(language, name)


def test_a_corpus_is_the_same_with_and_without_the_plug_in(examples, tmp_path):
    language = load_language("demo-hmm")
    list(write_corpus(language, "demo-hmm", 10, tmp_path / "corpus"))
    manifest = json.loads((tmp_path / "corpus/manifest.json").read_text())
    assert "word" in language.tasks
    assert list(manifest["classes"]) == [f"state-{k}" for k in range(1, 9)]


@pytest.fixture
def satlab(installed, tmp_path):
    """Runs a command where the plug-in is installed; the rows that it prints, or its text."""
    paths = [str(installed), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def run(*arguments):
        command = [sys.executable, "-m", "satlab", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def rows_of(printed):
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.slow
def test_the_command_line_knows_them(satlab):
    sizes = ["--steps", "4", "--batch-size", "8", "--evaluation-sentences", "50", "--most-evaluation-sentences", "50"]
    ways = ["--optimizer", "sign", "--schedule", "square-root", "--targets", "smoothed"]
    satlab("train", "demo-hmm", "--out", "run", "--model", "convolution-2x8:kernel=5", *sizes, *ways)
    rows = rows_of(satlab("flatness", "run", "--method", "scaled-loss", "--rho", "0.02", "--contexts", "20"))
    assert {(row["what"], row["unit"], row["block"]) for row in rows} == {("scaled_loss", "nats", "total")}
    assert {json.loads(row["settings"])["rho"] for row in rows} == {0.02}
    assert {row["model"] for row in rows} == {"convolution-2x8:kernel=5"}
    trace, *blocks = rows_of(satlab("flatness", "run", "--contexts", "20"))
    assert trace["value"] == pytest.approx(sum(row["value"] for row in blocks))
    assert " word " in satlab("show", "demo-pcfg", "--samples", "10", "--sentences", "10")
    samples = ["--train-sentences", "40", "--test-sentences", "40", "--seeds", "1"]
    rows = rows_of(satlab("probe", "run", "--task", "word:position=3", *samples))
    assert {row["task"] for row in rows} == {"word:position=3"}
    again = rows_of(satlab("probe", "run", "--task", "word: position = 3", *samples))
    assert again == rows


STUDY = """
language: demo-hmm
models: {"convolution-2x8:kernel=5": {}}
tasks: [state-1, "word: position=3"]
train: {steps: 4, batch_size: 8, evaluation_sentences: 50, most_evaluation_sentences: 50, checkpoints: [2, 4]}
evaluate: {sentences: 50}
probe: {train_sentences: 40, test_sentences: 40, seeds: 1}
flatness: {contexts: 20}
workers: 1
"""


@pytest.mark.slow
def test_a_study_shows_the_task(satlab, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    satlab("study", "study.yaml", "--out", "out")
    results = list(csv.DictReader((tmp_path / "out/results.csv").open()))
    probed = {(row["task"], row["step"]) for row in results if row["what"] == "probe" and row["step"]}
    assert probed == {(task, step) for task in ("state-1", "word:position=3") for step in ("2", "4")}
    assert any("position" in path.name for path in (tmp_path / "out/figures").iterdir())
