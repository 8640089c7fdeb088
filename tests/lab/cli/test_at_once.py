"""Two processes that do the same at once leave it once; a write that fails leaves nothing, and names the file."""

import errno
import json
import multiprocessing
import os
import subprocess
import threading
import time

import pytest
from support.commands import check_one_line, contents, said_by
from support.disturbed import small_disk
from support.recorded import make_run

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.figures import draw as figures
from satlab.lab.measurements import flatness, kl
from satlab.lab.measurements import probe as probe_rows
from satlab.system import disk
from satlab.system.disk import append_missing, only_writer, read_lines, write_atomic
from satlab.system.new_folder import new_folder

__all__ = ["small_disk"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "r"
    line = f"train demo-hmm --out {folder} --model bert-1x8 --steps 2 --batch_size 4 --evaluation_sentences 20"
    assert cli.run(line.split()) == 0
    return folder


MEASUREMENTS = {
    "evaluate": "evaluate {run} --sentences 20",
    "flatness": "flatness {run} --contexts 10 --method sampled-gradient",
    "probe": "probe {run} --task state-2 --train_sentences 30 --test_sentences 20 --seeds 2",
}


@pytest.mark.parametrize("command", MEASUREMENTS)
def test_of_two_that_measure_at_once_one_keeps_its_rows(trained, command, monkeypatch, capsys):
    """While the first one works, the second does the same work from beginning to end."""
    line = MEASUREMENTS[command].format(run=trained).split()
    (trained / "results.jsonl").unlink(missing_ok=True)
    module = probe_rows if command == "probe" else {"evaluate": kl, "flatness": flatness}[command]
    load, again = module.load_model, []

    def while_another(folder):
        if not again:
            again.append(True)
            again.append(cli.run(line))
        return load(folder)

    monkeypatch.setattr(module, "load_model", while_another)
    if command == "probe":
        monkeypatch.setattr(probe_rows, "check_probe", lambda *_: None)
    capsys.readouterr()
    assert cli.run(line) == 0
    assert again == [True, 0]
    rows = read_lines(trained / "results.jsonl")
    printed = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert len(rows) == len({json.dumps(row) for row in rows}) == len(printed) // 2
    assert [row for row in printed if row not in rows] == []
    keys = {json.dumps([row.get(key) for key in ("step", "what", "method", "block", "settings")]) for row in rows}
    assert len(keys) == len(rows)


@pytest.mark.parametrize("command", MEASUREMENTS)
def test_what_cannot_be_written_is_said_before_the_work(trained, command, small_disk, monkeypatch, capsys):
    run = small_disk / "r"
    subprocess.run(["cp", "-r", trained, run], check=True)
    (run / "results.jsonl").unlink(missing_ok=True)
    before = contents(run)

    def refuse(*_):
        raise AssertionError("measured all the same")

    for module, name in (
        (kl, "load_model"),
        (flatness, "load_model"),
        (probe_rows, "frozen_probes"),
        (probe_rows, "majority_class"),
    ):
        monkeypatch.setattr(module, name, refuse)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    check_one_line(said_by(capsys, MEASUREMENTS[command].format(run=run), 2), str(run))
    assert contents(run) == before


def append_counted(path, number):
    append_missing(
        path, lambda there: [] if any(row["k"] == k for k in (number % 5,) for row in there) else [{"k": number % 5}]
    )


def test_rows_that_several_bring_are_there_once(tmp_path):
    context = multiprocessing.get_context("fork")
    several = [context.Process(target=append_counted, args=(tmp_path / "rows", number)) for number in range(20)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert sorted(row["k"] for row in read_lines(tmp_path / "rows")) == [0, 1, 2, 3, 4]


def test_writers_of_one_file_do_not_mix(tmp_path):
    path, wrong = tmp_path / "file", []

    def write(letter):
        for _ in range(20):
            write_atomic(path, letter * 50_000)
            if len(set(path.read_text())) != 1 or path.stat().st_size != 50_000:
                wrong.append(letter)

    several = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert wrong == []
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_just_fits_can_be_written(tmp_path):
    write_atomic(tmp_path / ("x" * 255), "whole")
    assert os.listdir(tmp_path) == ["x" * 255]


def filled(target, content, begun, go_on, said):
    try:
        with new_folder(target) as partial:
            (partial / "a").write_text(content)
            begun.set()
            go_on.wait(20)
    except InputError as error:
        said.append(str(error))


@pytest.mark.parametrize(("second", "refused"), [("same", 0), ("other", 1)])
def test_the_loser_of_two_that_fill_a_directory(tmp_path, second, refused):
    target, said = tmp_path / "new" / "out", []
    events = [threading.Event() for _ in range(3)]
    first = threading.Thread(target=filled, args=(target, "same", events[0], events[1], said))
    first.start()
    assert events[0].wait(20)
    loser = threading.Thread(target=filled, args=(target, second, events[2], events[1], said))
    loser.start()
    time.sleep(0.3)
    assert not events[2].is_set()
    events[1].set()
    first.join()
    loser.join()
    assert len(said) == refused
    assert contents(tmp_path / "new") == {"out/a": b"same"}
    assert os.listdir(tmp_path / "new") == ["out"]


def test_a_directory_whose_filling_fails_is_not_there(tmp_path):
    def fail():
        with new_folder(tmp_path / "a" / "b" / "out") as partial:
            (partial / "half").write_text("x")
            raise OSError(errno.ENOSPC, "No space left on device", str(partial / "half"))

    with pytest.raises(OSError, match="No space") as raised:
        fail()
    assert raised.value.filename == str(tmp_path / "a" / "b" / "out" / "half")
    assert os.listdir(tmp_path) == []


def test_two_studies_in_one_directory_are_not_done_at_once(tmp_path, monkeypatch, capsys):
    (tmp_path / "study.yaml").write_text("language: demo-hmm\nmodels: {bert-1x8: {}}\ntasks: []\ntrain: {steps: 2}\n")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(disk, "PATIENCE", 0.3)
    with only_writer(tmp_path / "out"):
        assert cli.run(["study", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"satlab: {tmp_path / 'out'}: another process is writing here; wait for it or stop it\n"
    assert os.listdir(tmp_path / "out") == []


# ---- full disks


def fill(folder, left):
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    (folder / "filler").write_bytes(b"x" * max(0, free - left))


@pytest.mark.parametrize("left", [0, 4096, 16384, 40960])
@pytest.mark.parametrize(
    "line", ["plot r", "report r", "export r --out new/e", "widen r --to bert-post-1x32 --out new/w"]
)
def test_on_a_full_disk_nothing_half_written_is_left(tmp_path, small_disk, monkeypatch, capsys, line, left):
    monkeypatch.chdir(small_disk)
    run = line.split()[0] in ("export", "widen")
    if run:
        short = "--model bert-post-1x16 --steps 1 --batch_size 4 --evaluation_sentences 20"
        assert cli.run(f"train demo-hmm --out {tmp_path / 'r'} {short}".split()) == 0
    else:
        make_run(tmp_path / "r", rows=[])
    (small_disk / "r").symlink_to(tmp_path / "r") if run else subprocess.run(
        ["cp", "-r", tmp_path / "r", "r"], check=True
    )
    fill(small_disk, left)
    capsys.readouterr()
    status = cli.run(line.split())
    captured = capsys.readouterr()
    assert status in (0, 1)
    assert not [path for path in small_disk.rglob(".*")]
    if status == 1:
        (said,) = captured.err.splitlines()
        assert "No space left on device; choose another place or make room" in said
        assert said.startswith(("satlab: r/figures/kl_vs_step.", "satlab: r/report.html", f"satlab: {small_disk}/new/"))
        assert not (small_disk / "new").exists()
        assert not (small_disk / "r" / "report.html").exists()
    for path in (small_disk / "r").glob("figures/*.png"):
        assert figures.plt.imread(path).shape[0] > 100


def test_a_run_that_cannot_be_begun_leaves_nothing(small_disk, monkeypatch, capsys):
    fill(small_disk, 4096)
    assert (
        cli.run(["train", "demo-hmm", "--out", str(small_disk / "a" / "r"), "--model", "bert-1x8", "--steps", "1"]) == 1
    )
    assert "No space left on device" in capsys.readouterr().err
    assert os.listdir(small_disk) == ["filler"]
