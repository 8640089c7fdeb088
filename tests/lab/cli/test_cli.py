"""Each command end to end at its smallest, as a user would type it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from support.commands import contents, strict
from support.hints import without_hint

from satlab.lab.cli import main as cli
from satlab.lab.measurements import flatness, kl
from satlab.lab.measurements import probe as probe_rows
from satlab.lab.runs.run import load_run

SMALL = "--steps 6 --batch_size 8 --checkpoints [3] --evaluate_every 3 --evaluation_sentences 50 --model bert-1x8"
PROBE = "--train_sentences 60 --test_sentences 40 --seeds 2"
METRICS = {"step", "loss", "kl", "kl_stderr", "kl_upper95", "floor", "floor_stderr", "n", "lr", "saturated", "seconds"}
METRICS |= {"train_kl", "train_kl_stderr"}
METRICS |= {"saturated_step", "since_saturation", "adversary_strength", "tokens_per_second"}
ROW = {"model", "seed", "step", "what", "method", "settings", "value", "stderr", "n", "unit", "seconds", "satlab"}
COMMANDS = ["generate", "verify", "show", "induce", "floor", "train", "evaluate", "probe", "flatness", "export"]
COMMANDS += ["study", "table", "plot", "report"]


@pytest.fixture(scope="module", params=["demo-hmm", "demo-pcfg"])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / request.param
    assert cli.run(["train", request.param, "--out", str(folder), *shlex.split(SMALL)]) == 0
    return folder


@pytest.fixture
def run_copy(trained, tmp_path):
    """(a copy of the run called r, a task of its language)"""
    shutil.copytree(trained, tmp_path / "r")
    return tmp_path / "r", {"demo-hmm": "state-4", "demo-pcfg": "A"}[trained.name]


@pytest.mark.parametrize("language", ["demo-hmm", "demo-pcfg"])
def test_generate(printed, tmp_path, language):
    rows, err = printed(f"generate {language} --sentences 20 --out c --seed 2 --truth")
    assert rows == [{"out": "c", "sentences": 20, "seed": 2, "truth": True}]
    hint = "satlab: results are in c; next: satlab train c --out RUN, or satlab verify c\n"
    assert err == hint
    before = contents(tmp_path)
    assert printed(f"generate {language} --sentences 20 --out c --seed 2 --truth")[0] == rows
    assert contents(tmp_path) == before


def test_floor(printed, tmp_path):
    rows, err = printed("floor demo-hmm --sentences 200 --masking bernoulli:0.5 --seed 4 --max-length 5")
    assert err == ""
    assert list(tmp_path.iterdir()) == []
    (row,) = rows
    assert list(row) == ["language", "max_length", "masking", "floor_nats", "stderr", "n", "seed"]
    assert (row["language"], row["max_length"], row["masking"]) == ("demo-hmm", 5, "bernoulli:0.5")
    assert (row["n"], row["seed"]) == (200, 4)
    assert 0 < row["stderr"] < row["floor_nats"] < 2.31
    assert printed("floor demo-hmm --sentences 200 --masking bernoulli:0.5 --seed 4 --max_length 5")[0] == rows


def test_train(printed, tmp_path):
    rows, err = printed(f"train demo-hmm --out r {SMALL}")
    assert set(rows[0]) == {"run", "stopped"} | METRICS
    assert (len(rows), rows[0]["run"], rows[0]["stopped"], rows[0]["step"]) == (1, "r", "step limit", 6)
    assert re.findall(r"^step (\d+): KL", err, re.MULTILINE) == ["3", "6"]
    assert "satlab: warning: not saturated" in err
    metrics = load_run(tmp_path / "r").metrics
    assert [row["step"] for row in metrics] == [3, 6]
    assert rows[0]["seconds"] == sum(row["seconds"] for row in metrics) > metrics[-1]["seconds"] > 0
    before = contents(tmp_path)
    again, err = printed(f"train demo-hmm --out r {SMALL}")
    assert again == rows
    assert "step 3" not in err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("seconds", ["", ', "seconds": null'])
def test_rows_that_do_not_say_how_long_they_took_have_no_sum(printed, tmp_path, seconds):
    printed(f"train demo-hmm --out r {SMALL}")
    path = tmp_path / "r" / "metrics.jsonl"
    path.write_text(re.sub(r', "seconds": [^,}]*', seconds, path.read_text()))
    rows, _ = printed(f"train demo-hmm --out r {SMALL}")
    assert set(rows[0]) | {"seconds"} == {"run", "stopped"} | METRICS
    assert rows[0].get("seconds") is None


def test_training_that_saturates_says_so(printed):
    rows, err = printed(f"train demo-hmm --out r {SMALL} --threshold 5")
    assert (rows[0]["stopped"], rows[0]["step"], rows[0]["saturated"]) == ("saturated", 3, True)
    assert "warning" not in err


def test_training_that_goes_on_after_saturation_ends_at_its_last_step(printed):
    rows, _ = printed(f"train demo-hmm --out r {SMALL} --threshold 5 --stop-at-saturation false")
    assert (rows[0]["stopped"], rows[0]["step"], rows[0]["saturated"]) == ("step limit", 6, True)


def test_training_that_diverges_keeps_its_checkpoints(printed, tmp_path):
    line = f"train demo-hmm --out r {SMALL} --lr 1e30 --steps 50 --checkpoints [1] --warmup 0.9"
    rows, err = printed(line, status=1)
    assert rows == []
    last = err.splitlines()[-1]
    assert last.startswith("satlab: training diverged at step ")
    assert "Traceback" not in err
    assert printed(line, status=1)[1].splitlines()[-1] == last


WORKERS = {
    kl: ("load_model", "kl_to_truth", "evaluation_set"),
    flatness: ("load_model", "Problem"),
    probe_rows: ("load_model", "build_model", "frozen_probes", "majority_class"),
}
"""Who does the work of measuring."""

MEASURED = ["evaluate {r} --sentences 30", "probe {r} --task {task} " + PROBE, "flatness {r} --contexts 10"]


@pytest.mark.parametrize("line", MEASURED)
def test_measurements_are_taken_once(printed, run_copy, line, monkeypatch):
    folder, task = run_copy
    line = line.format(r=folder, task=task)
    rows, err = printed(line)
    said = (
        []
        if line.startswith("evaluate")
        else ["satlab: warning: not saturated, so their loss differs from that of others"]
    )
    assert [text.partition(": step")[0] for text in without_hint(err).splitlines()] == said
    assert all(set(row) >= ROW for row in rows)
    assert {row["step"] for row in rows} - {None} == {3, 6}
    assert load_run(folder).results == rows
    before = contents(folder)
    for module, names in WORKERS.items():
        for name in names:
            monkeypatch.setattr(module, name, None)
    assert printed(line)[0] == rows
    assert contents(folder) == before


@pytest.mark.parametrize("line", MEASURED)
def test_one_checkpoint_alone(printed, run_copy, line):
    folder, task = run_copy
    rows, _ = printed(line.format(r=folder, task=task) + " --step 3")
    assert {row["step"] for row in rows} - {None} == {3}
    more, _ = printed(line.format(r=folder, task=task))
    assert [row for row in more if row["step"] != 6] == rows
    assert {row["step"] for row in more} - {None} == {3, 6}


def test_evaluate_rows(printed, run_copy):
    rows, _ = printed(f"evaluate {run_copy[0]} --sentences 30 --seed 7")
    assert [(row["what"], row["method"], row["unit"], row["n"]) for row in rows] == [
        ("kl", "exact-truth", "nats", 30)
    ] * 2
    assert all(json.loads(row["settings"]) == {"sentences": 30, "seed": 7} for row in rows)
    assert all(row["value"] > 0 and row["floor"] > 0 for row in rows)
    other, _ = printed(f"evaluate {run_copy[0]} --sentences 30 --seed 8")
    assert [row["value"] for row in other] != [row["value"] for row in rows]


def test_probe_rows(printed, run_copy):
    folder, task = run_copy
    rows, _ = printed(f"probe {folder} --task {task} {PROBE}")
    assert [(row["method"], row["step"]) for row in rows] == [
        ("majority", None),
        ("lookup", None),
        ("bayes", None),
        ("linear", 3),
        ("linear", 6),
    ]
    assert all((row["what"], row["task"], row["unit"]) == ("probe", task, "accuracy") for row in rows)
    assert all(0 <= row["value"] <= 1 for row in rows)
    assert all(row["n"] == 2 for row in rows if row["method"] != "bayes")


def test_flatness_rows(printed, run_copy):
    rows, _ = printed(f"flatness {run_copy[0]} --contexts 10 --draws 2")
    for step in (3, 6):
        here = {row["block"]: row["value"] for row in rows if row["step"] == step}
        assert set(here) == {"total", "embedding", "position", "weight", "bias", "norm"}
        assert here.pop("total") == pytest.approx(sum(here.values()))
    assert all((row["what"], row["method"], row["n"]) == ("hessian_trace", "sampled-gradient", 10) for row in rows)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.run([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: satlab {command} ")
    options = [name for name in cli.make_parser()._subcommands_action._name_parser_map[command]._option_string_actions]
    shown = [name.replace("_", "-") for name in options if name.startswith("--") and not name.endswith("+")]
    assert [name for name in shown if name not in text] == []
    assert re.findall(r"--\w*_\w*|[A-Z]+_[A-Z]\w*", text.replace("RAY_ADDRESS", "")) == []
    if "a preset's name" in text:
        assert "a corpus directory" in " ".join(text.split())
    assert cli.COMMANDS[command].description.split(".")[0] in " ".join(text.split())
    for inside in ("typing.", "<class", "Optional[", "Literal[", "[options]"):
        assert inside not in text


def test_help_and_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.run(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert [command for command in COMMANDS if f"    {command} " not in text] == []
    with pytest.raises(SystemExit) as stop:
        cli.run(["--version"])
    assert stop.value.code == 0
    assert re.search(r"\d+\.\d+\.\d+", capsys.readouterr().out)


@pytest.mark.parametrize("spelling", ["--batch-size 4", "--batch_size 4", "--batch-size=4", "--batch_size=4"])
def test_hyphens_and_underscores(printed, tmp_path, spelling):
    printed(f"train demo-hmm --out=my-run --model bert-1x8 --steps 1 --evaluation_sentences=20 {spelling}")
    assert load_run(tmp_path / "my-run").config.batch_size == 4


@pytest.mark.parametrize("order", ["{config} {options}", "{options} {config}"])
@pytest.mark.parametrize("config", ["--config c.yaml", "--config=c.yaml"])
def test_the_command_line_overrides_the_config_file(printed, tmp_path, order, config):
    settings = {"steps": 2, "lr": 0.25, "batch_size": 4, "evaluation_sentences": 20, "betas": [0.5, 0.6]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    line = order.format(config=config, options="--lr 0.125 --steps 1")
    printed(f"train demo-hmm --model bert-1x8 --out a {line}")
    found = load_run(tmp_path / "a").config
    assert (found.lr, found.steps, found.batch_size, found.betas) == (0.125, 1, 4, (0.5, 0.6))


def test_checkpoints_null_are_those_that_are_kept_where_none_are_given(printed, tmp_path):
    (tmp_path / "c.yaml").write_text("checkpoints: null\nsteps: 2\nbatch_size: 4\nevaluation_sentences: 20\n")
    printed("train demo-hmm --model bert-1x8 --out a --config c.yaml")
    assert load_run(tmp_path / "a").config.checkpoints == []
    printed("train demo-hmm --model bert-1x8 --out a --steps 2 --batch-size 4 --evaluation-sentences 20")


def test_numbers_in_a_config_file_may_be_written_as_people_write_them(printed, tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 1e-3\nsteps: 2\nbatch_size: 4\nevaluation_sentences: 20\n")
    printed("train demo-hmm --model bert-1x8 --out a --config c.yaml")
    assert load_run(tmp_path / "a").config.lr == 1e-3


def test_the_module_runs_from_another_directory(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "satlab", "--help"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=180,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: satlab ")
    assert list(tmp_path.iterdir()) == []


def test_piped_output_is_json_lines_without_a_bar(tmp_path):
    line = f"train demo-hmm --out r {SMALL}"
    done = subprocess.run(
        [sys.executable, "-m", "satlab", *shlex.split(line)], check=True, capture_output=True, cwd=tmp_path, timeout=60
    )
    assert [set(strict(row)) for row in done.stdout.decode().splitlines()] == [{"run", "stopped"} | METRICS]
    assert b"\r" not in done.stderr
    assert b"%|" not in done.stderr
    assert b"it/s" not in done.stderr


def test_an_interruption_is_one_line(printed, monkeypatch):
    monkeypatch.setattr("satlab.lab.runs.training.train_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    rows, err = printed(f"train demo-hmm --out r {SMALL}", status=130)
    assert rows == []
    assert err == "satlab: interrupted; run the same command again to go on\n"


def test_a_corpus_that_is_gone_is_no_misspelt_preset(printed, refused, tmp_path):
    printed("generate demo-hmm --sentences 40 --out c33")
    printed(f"train c33 --out r33 {SMALL}")
    (tmp_path / "c33").rename(tmp_path / "elsewhere")
    where = f"is no longer at {tmp_path / 'c33'}; restore it, or give the directory where it is now"
    refused(f"train c33 --out r33 {SMALL}", "satlab: c33: the corpus of r33 ", where)
    refused(f"train {tmp_path / 'c33'} --out r33 {SMALL}", "c33: the corpus of r33 ", where)
    refused(f"train c34 --out r33 {SMALL}", "unknown language 'c34': no preset, file or directory has this")
    assert printed(f"train elsewhere --out r33 {SMALL}")[0][0]["run"] == "r33"
