"""A newcomer's own languages, nltk's toy grammar and a chain that hmmlearn has fitted, through every command."""

import ast
import inspect
import json
import shlex

import nltk.grammar
import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM

from satlab.generators import load_language
from satlab.lab.cli import main as cli

SMALL = "--steps 4 --batch_size 8 --checkpoints [2] --evaluation_sentences 40"
PROBE = "--train_sentences 40 --test_sentences 30 --seeds 2"


def toy_grammar():
    """The text of toy_pcfg2, a local variable of nltk.grammar.pcfg_demo."""
    for node in ast.walk(ast.parse(inspect.getsource(nltk.grammar))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "toy_pcfg2":
            return next(n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant) and "->" in n.value)
    raise AssertionError("nltk no longer has toy_pcfg2")


def fitted_chain():
    data = np.random.default_rng(0).integers(0, 5, size=(300, 1))
    return CategoricalHMM(n_components=3, n_iter=5, random_state=0).fit(data)


@pytest.fixture(params=["toy.pcfg", "chain.npz"])
def own(request, tmp_path, monkeypatch):
    """(file, options that the language needs, a task)"""
    monkeypatch.chdir(tmp_path)
    if request.param == "toy.pcfg":
        (tmp_path / "toy.pcfg").write_text(toy_grammar())
        return "toy.pcfg", "--max-length 9", "B"
    model = fitted_chain()
    np.savez("chain.npz", startprob=model.startprob_, transmat=model.transmat_, emissionprob=model.emissionprob_)
    return "chain.npz", "--max-length 6", "state-3"


def test_through_every_command(own, capsys, tmp_path):
    language, options, task = own
    lines = {
        "generate": f"generate {language} {options} --sentences 30 --out corpus --truth",
        "floor": f"floor {language} {options} --sentences 50",
        "train": f"train {language} {options} --out r --model bert-1x8 {SMALL}",
        "evaluate": "evaluate r --sentences 30",
        "probe": f"probe r --task {task} {PROBE}",
        "flatness": "flatness r --contexts 10",
        "plot": "plot r",
    }
    out = {}
    for name, line in lines.items():
        assert cli.run(shlex.split(line)) == 0, capsys.readouterr().err
        out[name] = capsys.readouterr().out.splitlines()
    length = int(options.split()[1])
    assert json.loads(out["floor"][0])["max_length"] == length
    assert json.loads((tmp_path / "corpus" / "manifest.json").read_text())["max_length"] == length
    assert json.loads(out["train"][0])["step"] == 4
    assert {json.loads(row)["step"] for row in out["evaluate"] + out["flatness"]} == {2, 4}
    assert {json.loads(row)["method"] for row in out["probe"]} == {"majority", "lookup", "bayes", "linear"}
    figures = [row["figure"] for row in map(json.loads, out["plot"]) if "figure" in row]
    names = {f"{name}{suffix}" for name in ("kl_vs_step", f"probe_vs_step-{task}") for suffix in (".png", ".pdf")}
    assert {file.partition("figures/")[2] for file in figures} >= names
    assert all((tmp_path / line).stat().st_size > 1000 for line in figures)


def test_nltks_grammar_means_what_nltk_means(tmp_path):
    (tmp_path / "toy.pcfg").write_text(toy_grammar())
    language = load_language(tmp_path / "toy.pcfg")
    ours = {(str(r.lhs()), tuple(map(str, r.rhs()))): r.prob() for r in language.grammar.productions}
    theirs = nltk.grammar.PCFG.fromstring(toy_grammar())
    assert ours == pytest.approx({(str(r.lhs()), tuple(map(str, r.rhs()))): r.prob() for r in theirs.productions()})
    assert language.max_length == 32


def test_hmmlearns_chain_means_what_hmmlearn_means(tmp_path):
    model = fitted_chain()
    arrays = {"startprob": model.startprob_, "transmat": model.transmat_, "emissionprob": model.emissionprob_}
    np.savez(tmp_path / "chain.npz", **arrays)
    language = load_language(tmp_path / "chain.npz", 6)
    sentences = language.sample(20, torch.Generator().manual_seed(0))
    theirs = [model.score(np.array(tokens)[:, None]) for tokens in sentences.tokens.tolist()]
    np.testing.assert_allclose(language.log_prob(sentences.tokens).numpy(), theirs, rtol=1e-9)
