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

from satlab.errors import InputError

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
    from satlab.models.networks.base import networks
    from satlab.train.objectives import objectives
    from satlab.train.optimizers import optimizers
    from satlab.train.schedules import schedules

    registries = (networks, flatness_measures, optimizers, schedules, objectives)
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


@pytest.mark.slow
def test_the_command_line_knows_them(installed, tmp_path):
    paths = [str(installed), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def satlab(*arguments):
        command = [sys.executable, "-m", "satlab", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    sizes = ["--steps", "4", "--batch-size", "8", "--evaluation-sentences", "50", "--most-evaluation-sentences", "50"]
    ways = ["--optimizer", "sign", "--schedule", "square-root", "--targets", "smoothed"]
    satlab("train", "demo-hmm", "--out", "run", "--model", "convolution-2x8:kernel=5", *sizes, *ways)
    rows = satlab("flatness", "run", "--method", "scaled-loss", "--rho", "0.02", "--contexts", "20")
    assert {(row["what"], row["unit"], row["block"]) for row in rows} == {("scaled_loss", "nats", "total")}
    assert {json.loads(row["settings"])["rho"] for row in rows} == {0.02}
    assert {row["model"] for row in rows} == {"convolution-2x8:kernel=5"}
    trace, *blocks = satlab("flatness", "run", "--contexts", "20")
    assert trace["value"] == pytest.approx(sum(row["value"] for row in blocks))
    probed = satlab("probe", "run", "--task", "state-4", "--train-sentences", "50", "--test-sentences", "50")
    assert {row["model"] for row in probed} == {"convolution-2x8:kernel=5", None}
