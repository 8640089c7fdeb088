"""The examples of docs/extending.md, as a plug-in that others have installed: what the page says of them holds."""

import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product

import pytest
import torch
from support import ROOT, registries
from support.untouched import untouched

from satlab.errors import InputError
from satlab.estimate import Estimate
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
    with registries.unchanged():
        sys.path.insert(0, str(installed))
        try:
            yield importlib.import_module("my_measures")
        finally:
            sys.path.remove(str(installed))
            del sys.modules["my_measures"]


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
        ("word:position=two", "^task 'word': setting 'position' is 'two', expected an integer; correct it$"),
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


def test_the_nearest_mean_is_that_of_the_formula(examples):
    from satlab.probes.feature_store import Features

    source = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=source, dtype=torch.float64)
    labels = torch.arange(30) % 3
    features = Features(30)
    features.append(x)
    fitted = examples.NearestMean(shrink=0.25).fit(features, labels, 4)
    means = torch.stack([0.75 * x[labels == c].mean(0) + 0.25 * x.mean(0) for c in range(3)])
    assert torch.allclose(fitted.means, means, atol=1e-12)
    nearest = ((x[:, None] - means) ** 2).sum(2).argmin(1)
    assert torch.equal(fitted.predict(x), nearest)
    with pytest.raises(InputError, match="shrink is 1"):
        examples.NearestMean(shrink=1)


def test_bias_tuning_learns_and_leaves_the_model_as_it_is(examples):
    from satlab.models import build_model
    from satlab.probes import Samples

    language = load_language("demo-pcfg")
    model, task, told = build_model("bert-1x16", language), language.tasks["A"], []
    samples = Samples(200, 100, 2)
    settings = {"method": "bias-tune", "lr": 0.03, "epochs": 30}
    probe = examples.BiasTuning(lr=0.03, epochs=30)
    assert probe.row_settings() == settings
    with untouched(model):
        found = probe.accuracies(model, language, task, samples, lambda *part: told.append(part))
    labels = [task.labels(test) for _, test in samples.draw(language, task)]
    assert all(
        abs(value * len(seen) - round(value * len(seen))) < 1e-9 for value, seen in zip(found, labels, strict=True)
    )
    assert told == [(i, 60) for i in range(1, 61)]
    assert found == probe.accuracies(model, language, task, samples)


def test_the_theorem_is_the_formula_and_can_fail(examples):
    from satlab.generators.batches import exact_truth, make_batch
    from satlab.models import build_model
    from satlab.randomness import random_stream
    from satlab.theory import Subject

    language = load_language("demo-hmm")
    model = build_model("bert-1x8", language)
    (link,) = examples.Pinsker(contexts=50).check(Subject(model, language, seed=3))
    sentences = language.sample(50, random_stream(3, "theory"), latents=False)
    batch = make_batch(sentences, "one", language.vocab_size, random_stream(3, "flatness"))
    p, f = exact_truth(language, batch, "one"), model.logits_at(batch.inputs, batch.rows, batch.positions)
    log_f = f.detach().double().log_softmax(1)
    kl = (p * (p.clamp(min=1e-300).log() - log_f)).sum(1).mean()
    assert link.left.value == pytest.approx(float((p - log_f.exp()).abs().sum(1).mean() / 2), rel=1e-12)
    assert link.right.value == pytest.approx(float((kl / 2).sqrt()), rel=1e-12)
    assert link.holds
    assert link.left.value > 0.01
    assert not replace(link, right=Estimate(0.9 * link.left.value, 0.0, 50)).holds
    with pytest.raises(InputError, match="contexts is 1, expected at least 2"):
        examples.Pinsker(contexts=1)


@pytest.fixture
def satlab(installed, tmp_path):
    """satlab(...): the command in a process that finds the plug-in; the rows that it prints, or its errors."""
    paths = [str(installed), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def call(*arguments, status=0):
        command = [sys.executable, "-m", "satlab", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        if status:
            return done.stderr
        lines = done.stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")] or done.stdout

    return call


SIZES = {"steps": 4, "batch-size": 8, "evaluation-sentences": 50, "most-evaluation-sentences": 50}
FEW = {"train_sentences": 60, "test_sentences": 50, "seeds": 2, "epochs": 3}


def options(settings):
    return [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.slow
def test_the_command_line_knows_them(satlab):
    ways = ["--optimizer", "sign", "--schedule", "square-root", "--targets", "smoothed"]
    satlab("train", "demo-hmm", "--out", "run", "--model", "convolution-2x8:kernel=5", *options(SIZES), *ways)
    rows = satlab("flatness", "run", "--method", "scaled-loss", "--rho", "0.02", "--contexts", "20")
    assert {(row["what"], row["unit"], row["block"]) for row in rows} == {("scaled_loss", "nats", "total")}
    assert {json.loads(row["settings"])["rho"] for row in rows} == {0.02}
    assert {row["model"] for row in rows} == {"convolution-2x8:kernel=5"}
    trace, *blocks = satlab("flatness", "run", "--contexts", "20")
    assert trace["value"] == pytest.approx(sum(row["value"] for row in blocks))
    assert " word " in satlab("show", "demo-pcfg", "--samples", "10", "--sentences", "10")
    samples = ["--train-sentences", "40", "--test-sentences", "40", "--seeds", "1"]
    rows = satlab("probe", "run", "--task", "word:position=3", *samples)
    assert {row["task"] for row in rows} == {"word:position=3"}
    assert satlab("probe", "run", "--task", "word: position = 3", *samples) == rows
    rows = satlab("theorem", "run", "--name", "pinsker:contexts=40")
    assert {(row["what"], row["method"], row["relation"], row["unit"]) for row in rows} == {
        ("theorem", "pinsker", "<=", "probability")
    }
    assert all(row["holds"] and 0 < row["value"] <= row["right"] for row in rows)
    assert {json.loads(row["settings"])["contexts"] for row in rows} == {40}
    assert "contexts is 1, expected" in satlab("theorem", "run", "--name", "pinsker:contexts=1", status=2)


@pytest.mark.slow
def test_probes_run_from_the_command_line(satlab):
    satlab("train", "demo-pcfg", "--out", "run", "--model", "bert-1x8", *options(SIZES))
    given = ["probe", "run", "--task", "A", *options(FEW), "--method", "[linear,nearest-mean,bias-tune]"]
    rows = satlab(*given, "--shrink", "0.1")
    last = {row["method"]: row for row in rows if row["step"] == 4}
    assert list(last) == ["linear", "nearest-mean", "bias-tune"]
    own = {name: set(json.loads(row["settings"])) - set(FEW) - {"seed"} for name, row in last.items()}
    assert own == {"linear": {"l2"}, "nearest-mean": {"method", "shrink"}, "bias-tune": {"method", "lr"}}
    assert json.loads(last["nearest-mean"]["settings"])["shrink"] == 0.1
    # The table is probed by each feature probe, and once by linear for itself and for bias-tune.
    tables = [json.loads(row["settings"]).get("method") for row in rows if row["method"] == "lookup"]
    assert tables == [None, "nearest-mean"]
    assert satlab(*given, "--shrink", "0.1") == rows
    assert "shrink is 1.5, expected at least 0 and below 1" in satlab(*given, "--shrink", "1.5", status=2)
    assert "layer with method bias-tune, which reads no frozen features" in satlab(*given, "--layer", "1", status=2)


@pytest.mark.slow
def test_they_run_in_a_study_and_its_report(satlab, tmp_path):
    probe = FEW | {"method": ["nearest-mean", "bias-tune"], "shrink": 0.1}
    train = {name.replace("-", "_"): value for name, value in SIZES.items()}
    models = {"bert-1x8": {}, "convolution-2x8:kernel=5": {}}
    study = {"language": "demo-pcfg", "models": models, "tasks": ["A", "word: position=3"], "train": train}
    study |= {"evaluate": {"sentences": 50}, "flatness": {"contexts": 20}, "probe": probe, "workers": 1}
    study["theorems"] = ["pinsker:contexts=40"]
    (tmp_path / "mine.yaml").write_text(json.dumps(study), encoding="utf-8")
    satlab("study", "mine.yaml", "--out", "out")
    satlab("report", "out")
    rows = [json.loads(line) for path in tmp_path.glob("out/runs/*/results.jsonl") for line in path.open()]
    probed = {(row["task"], row["method"]) for row in rows if row["what"] == "probe"}
    assert {row["model"] for row in rows if row["what"] == "theorem" and row["holds"]} == set(models)
    assert probed == {(task, method) for task in ("A", "word:position=3") for method in ("nearest-mean", "bias-tune")}
    report = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    for panel in ("A nearest-mean", "A bias-tune", "word:position=3 bias-tune", "pinsker", "total variation"):
        assert panel in report, panel
