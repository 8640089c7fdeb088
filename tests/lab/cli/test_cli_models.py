"""The commands about sizes of models end to end, as a user would type them."""

import json
import math
import shlex
import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml
from support.hints import without_hint
from support.networks import demo_hmm, gap, shaken

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.runs import enlarge
from satlab.lab.runs.run import load_run
from satlab.models import build_model, load_model
from satlab.models.widen import widen

SMALL = "--steps 6 --batch_size 8 --checkpoints [3] --evaluate_every 3 --evaluation_sentences 50"
MODELS = {
    "bert-1x8": "bert-3x24",
    "bert-post-1x8": "bert-post-1x64",
    "lstm-1x8": "lstm-1x16",
    "lstm-residual-1x8": "lstm-residual-2x16",
    "gpt-1x8": "gpt-3x24",
}
"""trained -> a larger one."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folders = {}
    for name in MODELS:
        folders[name] = tmp_path_factory.mktemp("trained") / name
        line = f"train demo-hmm --out {folders[name]} --model {name} {SMALL}"
        assert cli.run(shlex.split(line)) == 0
    return folders


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def only_row(text):
    (row,) = rows(text)
    return row


# ---- models


def test_the_table_has_a_line_for_each_size(satlab):
    out, err = satlab("models")
    assert err == ""
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("Parameters for 200 words and sentences of at most 32;")
    assert ["bert-1x64", "Table", "3", "1", "64", "1", "256", "65,416", "50,312", "2,036,151"] in lines
    assert ["bert-6x320", "Table", "4", "6", "320", "5", "*1,280", "7,474,120", "7,398,600", "17,206,519"] in lines
    assert lines[-2][0] == "*"
    assert "1,024 (bert-6x320), 2,048 (bert-7x384)" in out.splitlines()[-2]
    assert out.splitlines()[-1].startswith("gpt-LAYERSxWIDTH and bert-post-LAYERSxWIDTH take the same sizes as bert-")
    printed = [line[0] for line in lines if line and line[0].startswith(("bert-", "lstm-"))]
    assert printed == [row["name"] for row in rows(satlab("models --json")[0])]
    assert len(set(printed)) == 14 + 5 + 5


def test_a_language_sets_words_and_length(satlab):
    language = demo_hmm()
    by_language = rows(satlab("models demo-hmm --json")[0])
    by_number = rows(satlab(f"models --vocab {language.vocab_size} --max-length {language.max_length} --json")[0])
    assert by_language == by_number
    model = build_model("bert-1x64", language)
    assert by_language[0]["name"] == "bert-1x64"
    assert by_language[0]["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    longer = rows(satlab("models demo-hmm --max-length 20 --json")[0])[0]
    assert longer["parameters"] - by_language[0]["parameters"] == 64 * (20 - language.max_length)
    assert longer["without_embeddings"] == by_language[0]["without_embeddings"]


def test_json_says_what_was_published(satlab):
    found = {row["name"]: row for row in rows(satlab("models --json")[0])}
    changed = {name for name, row in found.items() if row["inner"] != row["published_inner"]}
    assert changed == {"bert-6x320", "bert-7x384", "bert-12x640", "bert-16x960", "bert-20x1920"}
    assert found["bert-20x1920"] == {
        "name": "bert-20x1920",
        "where": "Table 4",
        "layers": 20,
        "width": 1920,
        "heads": 30,
        "inner": 7680,
        "published_inner": 5120,
        "parameters": 885_692_360,
        "without_embeddings": 885_239_240,
        "with_bert_vocabulary": 943_935_159,
        "vocab_size": 200,
        "max_length": 32,
    }
    assert found["lstm-4x128"]["heads"] is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("models demo-hmm --vocab 5", "expected one of the two"),
        ("models demo-hnm", "did you mean 'demo-hmm'"),
        ("models --vocab 0", "vocab is 0, expected at least 1"),
        ("models --max-length 0", "max_length is 0, expected at least 1"),
        ("models --vocab many", "vocab"),
        ("models --jason", "did you mean '--json'"),
    ],
)
def test_models_of_bad_input(refused, line, said):
    refused(line, said)


# ---- widen


@pytest.mark.parametrize(("small", "large"), MODELS.items())
def test_widen_writes_a_run_of_the_same_function(satlab, trained, small, large, tmp_path):
    out, err = satlab(f"widen {trained[small]} --to {large} --out larger/one --sentences 9")
    row, model, wide = only_row(out), load_model(trained[small]), load_model("larger/one")
    assert without_hint(err) == ""
    assert wide.name == large
    assert (row["model"], row["to"], row["step"], row["n"]) == (small, large, 6, 9)
    assert row["parameters"] == sum(p.numel() for p in model.parameters())
    assert row["widened_parameters"] == sum(p.numel() for p in wide.parameters()) > row["parameters"]
    assert row["logit_difference"] < 1e-6
    tokens = demo_hmm().sample(32, torch.Generator().manual_seed(1)).tokens
    assert gap(wide(tokens), model(tokens)) < 1e-3 * model(tokens).std()
    assert [path.name for path in (tmp_path / "larger").iterdir()] == ["one"]
    names = {path.name for path in (tmp_path / "larger/one").iterdir()}
    assert names == {"config.yaml", "metrics.jsonl", "checkpoints", "language.npz"}
    content = yaml.safe_load((tmp_path / "larger/one/config.yaml").read_text())
    assert content["widened"] == {"run": str(trained[small]), "model": small, "step": 6, "added": "zero"}
    assert content["train"] == yaml.safe_load((trained[small] / "config.yaml").read_text())["train"]


@pytest.mark.parametrize("small", ["bert-1x8", pytest.param("gpt-1x8", marks=pytest.mark.slow)])
def test_a_widened_run_is_measured_like_any_other(satlab, trained, small):
    """KL and accuracy are those of the smaller model, the trace is not."""
    run = trained[small]
    satlab(f"widen {run} --to {MODELS[small]} --out larger")
    options = {
        "evaluate": "--sentences 200",
        "flatness": "--contexts 50",
        "probe": "--task state-4 --train-sentences 200 --test-sentences 200 --seeds 1",
    }
    found = {}
    for command, how in options.items():
        for folder in (run, "larger"):
            printed = rows(satlab(f"{command} {folder} --step 6 {how}")[0])
            found[command, str(folder)] = next(row for row in printed if row["model"] is not None)
        assert found[command, "larger"]["model"] == MODELS[small]
    kl, wide_kl = (found["evaluate", str(folder)]["value"] for folder in (run, "larger"))
    assert wide_kl == pytest.approx(kl, rel=1e-4)
    accuracy, wide_accuracy = (found["probe", str(folder)]["value"] for folder in (run, "larger"))
    assert wide_accuracy == pytest.approx(accuracy, abs=0.02)
    trace, wide_trace = (found["flatness", str(folder)]["value"] for folder in (run, "larger"))
    assert wide_trace != pytest.approx(trace, rel=0.05)
    satlab("plot larger")


def test_a_widened_run_is_not_trained(satlab, trained):
    satlab(f"widen {trained['bert-1x8']} --to bert-2x8 --out larger")
    before = load_model("larger").state_dict()
    _, err = satlab(f"train demo-hmm --out larger --model bert-2x8 {SMALL}", status=2)
    assert err == "satlab: larger: made by satlab widen, expected a run that was trained; choose another --out\n"
    assert all(torch.equal(before[name], value) for name, value in load_model("larger").state_dict().items())


def test_the_difference_that_is_printed_is_one(satlab, trained, monkeypatch):
    """It is measured, and not what it should be: an enlargement that is wrong at one position shows."""
    right = enlarge.widen

    def wrong(model, *rest):
        wide = right(model, *rest)
        with torch.no_grad():
            wide.words.bias[3] += 0.5
        return wide

    monkeypatch.setattr(enlarge, "widen", wrong)
    row = only_row(satlab(f"widen {trained['bert-1x8']} --to bert-2x8 --out larger")[0])
    assert row["logit_difference"] == pytest.approx(0.5, rel=1e-3)


def test_a_step_and_a_filling_are_chosen(satlab, trained):
    run = trained["bert-1x8"]
    early = only_row(satlab(f"widen {run} --to bert-2x8 --out early --step 3")[0])
    filled = only_row(satlab(f"widen {run} --to bert-2x8 --out filled --added initial")[0])
    assert (early["step"], filled["step"], filled["added"]) == (3, 6, "initial")
    folder = dict(load_run(run).checkpoints)[3]
    assert torch.equal(load_model("early").blocks[0].up.weight, load_model(folder).blocks[0].up.weight)
    assert (load_model("early").blocks[1].up.weight == 0).all()
    assert load_model("filled").blocks[1].up.weight.std() > 0.01
    assert (load_model("filled").blocks[1].down.weight == 0).all()


def test_an_occupied_directory_is_left_as_it_is(satlab, trained, tmp_path):
    run = trained["bert-1x8"]
    for name in ("there", "file"):
        (tmp_path / "there").mkdir(exist_ok=True)
        (tmp_path / "there" / "notes").write_text("mine")
        (tmp_path / "file").write_text("mine")
        out, err = satlab(f"widen {run} --to bert-2x8 --out {name}", status=2)
        assert out == ""
        assert (
            err == f"satlab: --out {name}: holds something already, expected a new or empty directory; choose another\n"
        )
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["notes"]
    (tmp_path / "empty").mkdir()
    satlab(f"widen {run} --to bert-2x8 --out empty")
    satlab(f"widen {run} --to bert-2x8 --out empty", status=2)
    assert load_model("empty").name == "bert-2x8"


@pytest.mark.parametrize(
    ("small", "options", "said"),
    [
        (
            "bert-1x8",
            "--to bert-2x20",
            "width 20 is not a multiple of 8; nearest that works: bert-2x16, or of the published",
        ),
        ("bert-1x8", "--to lstm-1x8", "lstm is another kind of model; nearest that works: bert-1x16"),
        ("bert-1x8", "--to bert-2x4", "width 4 is narrower than 8; nearest that works: bert-2x8"),
        ("bert-1x8", "--to bret-2x8", "unknown model 'bret': did you mean 'bert'?"),
        ("bert-post-1x8", "--to bert-post-2x8", "cannot leave its input unchanged; nearest that works: bert-post-1x16"),
        ("bert-1x8", "--to bert-2x8 --step 5", "no checkpoint of step 5, expected one of [3, 6]"),
        (
            "bert-1x8",
            "--to bert-2x8 --added ones",
            "unknown filling of added layers 'ones': expected one of: zero, initial",
        ),
        ("bert-1x8", "--to bert-2x8 --sentences 0", "sentences is 0, expected at least 1"),
        ("bert-1x8", "--two bert-2x8", "did you mean '--to'"),
    ],
)
def test_what_cannot_be_widened_writes_nothing(refused, trained, small, options, said):
    refused(f"widen {trained[small]} --out larger {options}", said)


def test_a_damaged_model_and_no_run(satlab, trained, tmp_path):
    shutil.copytree(trained["bert-1x8"], tmp_path / "run")
    (load_run(tmp_path / "run").checkpoints[-1][1] / "model.safetensors").write_bytes(b"\0" * 40)
    _, err = satlab("widen run --to bert-2x8 --out larger", status=2)
    assert "damaged checkpoint" in err
    _, err = satlab("widen nowhere --to bert-2x8 --out larger", status=2)
    assert "nowhere: no run here" in err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_failure_half_way_leaves_nothing(satlab, trained, tmp_path, monkeypatch):
    def fail(*given):
        raise InputError("no more")

    monkeypatch.setattr(enlarge, "logit_difference", fail)
    satlab(f"widen {trained['bert-1x8']} --to bert-2x8 --out larger", status=2)
    assert list(tmp_path.iterdir()) == []


def test_the_difference_of_a_causal_model_is_over_its_own_inputs():
    language = demo_hmm()
    model = shaken("gpt-1x8", language)
    run = SimpleNamespace(config=SimpleNamespace(seed=0, masking=None), language=language, model="gpt-1x8")
    wide = widen(model, "gpt-3x64")
    assert 0 < enlarge.logit_difference(run, model, wide, 5) < 1e-10
    with torch.no_grad():
        wide.words.bias[language.pad_id] += 0.25
    assert enlarge.logit_difference(run, model, wide, 5) == pytest.approx(0.25)
    with torch.no_grad():
        wide.words.bias[language.pad_id] = torch.nan
    assert math.isnan(enlarge.logit_difference(run, model, wide, 5))
