"""SGD from a run on, in the clock of the theorem: rows, their predicted KL, and the runs that it says nothing of."""

import json
import shutil

import pytest

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.measurements.drift import DriftConfig, drift_rows, largest_eigenvalue, largest_eigenvalues
from satlab.lab.runs.run import load_run

FAST = ["--contexts", "20", "--sentences", "40"]
MOVED = ["--eta", "0.2", "--batch_size", "4", "--clock", "0.04", "--points", "2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run of a few steps, and SGD from it on."""
    folder = tmp_path_factory.mktemp("drift")
    line = "--model bert-1x8 --steps 3 --batch_size 8 --evaluation_sentences 20 --most_evaluation_sentences 20"
    assert cli.run(["train", "demo-hmm", "--out", str(folder / "start"), *line.split()]) == 0
    assert cli.run(["drift", str(folder / "start"), "--out", str(folder / "moved"), *MOVED, *FAST]) == 0
    return folder


def rows_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_rows_have_the_clock_and_the_predicted_kl(folders, capsys):
    capsys.readouterr()
    assert cli.run(["drift", str(folders / "moved"), *FAST]) == 0
    rows = rows_of(capsys)
    assert [row["step"] for row in rows] == [0, 2, 4]
    assert [row["clock"] for row in rows] == pytest.approx([0, 0.02, 0.04])
    for row in rows:
        assert row["floor"] == pytest.approx(0.2 * row["trace"] / (4 * 4))
        assert row["floor_stderr"] == pytest.approx(0.2 * row["trace_stderr"] / (4 * 4))
        assert row["saturated_start"] is False
        assert row["floor_of_step"] > row["floor"]
        assert row["kl"] > 0
    assert "accuracy" not in rows[0]
    values = [one.value for one in largest_eigenvalues(load_run(folders / "moved"), 4)]
    surplus = sum(one / (1 - 0.1 * one) - one for one in values)
    assert rows[-1]["floor_of_step"] == pytest.approx(rows[-1]["floor"] + 0.2 / 16 * surplus)


@pytest.mark.parametrize(
    "language", [pytest.param(["demo-pcfg"], marks=pytest.mark.slow), ["demo-hmm", "--max_length", "5"]]
)
def test_the_language_is_that_of_the_start_however_its_length_was_given(tmp_path, language):
    line = "--model bert-1x8 --steps 1 --batch_size 8 --evaluation_sentences 20 --most_evaluation_sentences 20"
    assert cli.run(["train", *language, "--out", str(tmp_path / "start"), *line.split()]) == 0
    assert cli.run(["drift", str(tmp_path / "start"), "--out", str(tmp_path / "moved"), *MOVED, *FAST]) == 0
    start, moved = (load_run(tmp_path / name) for name in ("start", "moved"))
    assert moved.language.fingerprint() == start.language.fingerprint()
    assert moved.language.max_length == start.language.max_length


def test_the_same_command_does_not_train_again(folders, capsys):
    before = (folders / "moved" / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert cli.run(["drift", str(folders / "start"), "--out", str(folders / "moved"), *MOVED, *FAST]) == 0
    assert len(rows_of(capsys)) == 3
    assert (folders / "moved" / "metrics.jsonl").read_bytes() == before


def test_an_unsaturated_start_is_said(folders, capsys):
    assert cli.run(["drift", str(folders / "moved"), *FAST]) == 0
    assert "the start is not saturated" in capsys.readouterr().err


def test_a_start_that_is_gone_has_no_row(folders, tmp_path, capsys):
    shutil.copytree(folders / "moved", tmp_path / "moved")
    config = tmp_path / "moved" / "config.yaml"
    config.write_text(config.read_text().replace(str(folders / "start"), str(tmp_path / "gone")))
    capsys.readouterr()
    assert cli.run(["drift", str(tmp_path / "moved"), *FAST]) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["step"] for line in said.out.splitlines()] == [2, 4]
    assert "no row for step 0" in said.err


def test_a_step_too_large_is_refused_with_the_eigenvalue(folders, tmp_path, capsys):
    largest = largest_eigenvalue(load_run(folders / "start"), 3)
    assert largest > 0
    eta = 2.1 / largest
    line = [
        "drift",
        str(folders / "start"),
        "--out",
        str(tmp_path / "new"),
        "--eta",
        str(eta),
        "--clock",
        str(40 * eta**2),
    ]
    capsys.readouterr()
    assert cli.run(line) == 2
    assert f"largest eigenvalue of H is {largest:.3g}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert cli.run([*line[:4], "--task", "state-99"]) == 2
    assert "unknown task 'state-99'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_runs_that_are_no_such_sgd_are_refused(folders, tmp_path, capsys):
    with pytest.raises(InputError, match="training began with random weights"):
        list(drift_rows(load_run(folders / "start"), None, 20, 20))
    small = "--steps 2 --batch_size 4 --evaluation_sentences 20 --most_evaluation_sentences 20"
    for number, more in enumerate(("--optimizer adamw", "--optimizer sgd --momentum 0.9 --warmup 0 --weight_decay 0")):
        out = tmp_path / str(number)
        line = f"train demo-hmm --out {out} --from {folders / 'start'} {more} {small}"
        assert cli.run(line.split()) == 0
        capsys.readouterr()
        assert cli.run(["drift", str(out)]) == 2
        said = capsys.readouterr().err
        assert ("optimizer is 'adamw'" if number == 0 else "momentum is 0.9") in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        (["--eta", "0"], ["eta is 0", "positive"]),
        (["--clock", "1e-9"], ["is 0 steps, expected at least 4"]),
        (["--eta", "1e-200"], ["at eta 1e-200", "is not reached within 1e+12 steps"]),
        (["--eta", "1e-300", "--clock", "1e-300"], ["is not reached within"]),
        (["--clock", "1e300"], ["clock 1e+300", "is not reached within"]),
        (["--points", "0"], ["points is 0"]),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(folders, tmp_path, capsys, line, fragments):
    capsys.readouterr()
    assert cli.run(["drift", str(folders / "start"), "--out", str(tmp_path / "new"), *line]) == 2
    said = capsys.readouterr().err
    assert all(fragment in said for fragment in fragments), said
    assert not (tmp_path / "new").exists()


def second_phase(folders, out, *more):
    """A short phase of plain SGD from the start on."""
    line = (
        f"train demo-hmm --out {out} --from {folders / 'start'} --optimizer sgd --schedule constant --warmup 0 "
        "--weight_decay 0 --steps 2 --batch_size 4 --evaluation_sentences 20 --most_evaluation_sentences 20"
    )
    assert cli.run([*line.split(), *more]) == 0
    return out


def test_a_clock_that_stands_still_is_refused(folders, tmp_path, refused):
    out = second_phase(folders, tmp_path / "still", "--lr", "1e-200")
    refused(["drift", out, *FAST], "its clock eta^2 k / B is 0 at its last checkpoint (eta 1e-200, k 2, B 4)")


def test_a_phase_without_checkpoints_is_refused(folders, tmp_path, refused):
    shutil.copytree(folders / "moved", tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "checkpoints")
    refused(["drift", tmp_path / "moved", *FAST], "no checkpoint yet, expected a trained run")


def test_a_phase_whose_step_is_too_large_keeps_its_rows_and_says_so(folders, tmp_path, capsys):
    largest = largest_eigenvalues(load_run(folders / "start"), 3)[0].value
    out = second_phase(folders, tmp_path / "large", "--lr", str(3 / largest))
    capsys.readouterr()
    assert cli.run(["drift", str(out), *FAST]) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["step"] for row in rows] == [0, 2]
    assert rows[0]["floor_of_step"] is None
    assert rows[0]["largest_eigenvalue"] == pytest.approx(largest)
    (line,) = [line for line in said.err.splitlines() if "largest eigenvalue of H" in line]
    assert f"eta is {3 / largest:g}," in line
    assert f"is {largest:.3g} at step 0" in line


def test_no_run_at_all_is_refused(tmp_path, refused):
    (tmp_path / "notes.txt").write_text("mine")
    refused(["drift", tmp_path], "")
    refused(["drift", tmp_path / "nothing", "--out", tmp_path / "new"], "")


def test_settings_of_a_training_need_a_place(folders, capsys):
    assert cli.run(["drift", str(folders / "moved"), "--eta", "0.1"]) == 2
    assert "--eta without --out" in capsys.readouterr().err


def test_steps_follow_from_the_clock():
    config = DriftConfig(eta=0.1, batch_size=256, clock=0.12, points=4)
    assert config.steps == 3072
    assert config.training("one").kept_steps == [768, 1536, 2304, 3072]
