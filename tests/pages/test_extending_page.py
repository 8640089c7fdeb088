"""The examples of docs/extending.md, as a plug-in that others have installed: what the page says of them holds."""

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
    from satlab.probes import probe_methods
    from satlab.train.objectives import objectives
    from satlab.train.optimizers import optimizers
    from satlab.train.schedules import schedules

    registries = (flatness_measures, probe_methods, optimizers, schedules, objectives)
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


def test_a_model_is_trained_on_the_language(examples, tmp_path):
    assert 0 < examples.kl_of_copies(tmp_path / "run") < 10


def test_the_sign_optimiser_takes_a_step(examples):
    model = torch.nn.Linear(2, 1)
    before = model.weight.detach().clone()
    optimizer = examples.Sign(lr=0.5).build(model)
    (model.weight * torch.tensor([[3.0, -2.0]])).sum().backward()
    optimizer.step()
    assert torch.allclose(model.weight, before - 0.5 * torch.tensor([[1.0, -1.0]]))


def test_the_nearest_mean_is_that_of_the_formula(examples):
    from satlab.errors import InputError
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
    from satlab.generators import load_language
    from satlab.models import build_model
    from satlab.probes import Samples

    language = load_language("demo-pcfg")
    model, task, told = build_model("bert-1x16", language), language.tasks["A"], []
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    samples = Samples(200, 100, 2)
    settings = {"method": "bias-tune", "lr": 0.03, "epochs": 30}
    probe = examples.BiasTuning(lr=0.03, epochs=30)
    assert probe.row_settings() == settings
    found = probe.accuracies(model, language, task, samples, lambda *part: told.append(part))
    labels = [task.labels(test) for _, test in samples.draw(language, task)]
    assert all(
        abs(value * len(seen) - round(value * len(seen))) < 1e-9 for value, seen in zip(found, labels, strict=True)
    )
    assert told == [(i, 60) for i in range(1, 61)]
    assert found == probe.accuracies(model, language, task, samples)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


@pytest.fixture
def satlab(installed, tmp_path):
    """satlab(...): the command in a process of its own that finds the plug-in; the rows that it prints."""
    paths = [str(installed), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def call(*arguments, status=0):
        command = [sys.executable, "-m", "satlab", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        lines = done.stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")] if status == 0 else done.stderr

    return call


SIZES = {"steps": 4, "batch-size": 8, "evaluation-sentences": 50, "most-evaluation-sentences": 50}
FEW = {"train_sentences": 60, "test_sentences": 50, "seeds": 2, "epochs": 3}


def options(settings):
    return [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.slow
def test_the_command_line_knows_them(satlab):
    ways = ["--optimizer", "sign", "--schedule", "square-root", "--targets", "smoothed"]
    satlab("train", "demo-hmm", "--out", "run", "--model", "bert-1x8", *options(SIZES), *ways)
    rows = satlab("flatness", "run", "--method", "scaled-loss", "--rho", "0.02", "--contexts", "20")
    assert {(row["what"], row["unit"], row["block"]) for row in rows} == {("scaled_loss", "nats", "total")}
    assert {json.loads(row["settings"])["rho"] for row in rows} == {0.02}


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
def test_probes_run_in_a_study_and_its_report(satlab, tmp_path):
    probe = FEW | {"method": ["nearest-mean", "bias-tune"], "shrink": 0.1}
    train = {name.replace("-", "_"): value for name, value in SIZES.items()}
    study = {"language": "demo-pcfg", "models": {"bert-1x8": {}, "bert-1x4": {}}, "tasks": ["A"], "train": train}
    study |= {"evaluate": {"sentences": 50}, "flatness": {"contexts": 20}, "probe": probe, "workers": 1}
    (tmp_path / "mine.yaml").write_text(json.dumps(study), encoding="utf-8")
    satlab("study", "mine.yaml", "--out", "out")
    satlab("report", "out")
    rows = [json.loads(line) for path in tmp_path.glob("out/runs/*/results.jsonl") for line in path.open()]
    assert {row["method"] for row in rows if row["what"] == "probe"} == {"nearest-mean", "bias-tune"}
    report = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    for panel in ("A nearest-mean", "A bias-tune"):
        assert panel in report, panel
