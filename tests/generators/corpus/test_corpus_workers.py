"""The same bytes on any number of workers and threads, whoever is killed and whenever the disk is full."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from support.commands import check_one_line, contents, said_by
from support.jobs import gone

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.corpus import shard, storage
from satlab.generators.corpus.manifest import open_corpus, signature
from satlab.generators.corpus.writer import write_corpus
from satlab.lab.cli import main as cli
from satlab.system import processes as workers

SENTENCES, SHARD = 105, 10
GRAMMAR = "S -> 'a' S 'b' [0.3] | T [0.7]\nT -> 'c' T [0.4] | 'd' [0.6]\n"
LANGUAGES = {"hmm": "demo-hmm", "pcfg": {"family": "pcfg", "grammar": GRAMMAR, "max_length": 7}}
GENERATE = ["generate", "demo-hmm", "--sentences", str(SENTENCES), "--shard-sentences", str(SHARD), "--truth"]


def write(out, language="hmm", **how):
    settings = {"seed": 3, "truth": True, "shard_sentences": SHARD} | how
    return list(write_corpus(load_language(LANGUAGES[language]), "mine", SENTENCES, out, **settings))


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("language", "count", "method"),
    [pytest.param("hmm", 2, "spawn", marks=pytest.mark.slow), ("hmm", 2, "fork"), ("pcfg", 3, "fork")],
)
def test_workers_change_no_byte(tmp_path, monkeypatch, language, count, method):
    monkeypatch.setattr(workers, "start_method", lambda: method)
    done = write(tmp_path / "one", language, workers=1)
    assert write(tmp_path / "many", language, workers=count) == done == [*range(10, 105, 10), 105]
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


@pytest.mark.parametrize("language", LANGUAGES)
def test_threads_and_what_came_before_change_no_byte(language):
    language = load_language(LANGUAGES[language])
    alone = shard.shard_content(language, 3, True, "parquet", 2, 500)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        shard.shard_content(language, 3, True, "parquet", 1, 300)
        assert shard.shard_content(language, 3, True, "parquet", 2, 500) == alone
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)


SLOW = """
import sys, time
from pathlib import Path
from satlab.generators import load_language
from satlab.generators.corpus.writer import write_corpus
if __name__ == "__main__":
    out, format, (workers, sentences, shard) = Path(sys.argv[1]), sys.argv[2], map(int, sys.argv[3:])
    for done in write_corpus(
        load_language("demo-hmm"), "mine", sentences, out, 3, False, format, workers, shard_sentences=shard
    ):
        print(done, flush=True)
        time.sleep(0.02)
"""


@pytest.mark.parametrize(
    ("format", "count", "kills"),
    [("parquet", 2, [(4, 0.0)]), pytest.param("bin", 1, [(2, 0.0), (5, 0.013)], marks=pytest.mark.slow)],
)
def test_a_killed_run_leaves_whole_shards_and_goes_on(tmp_path, format, count, kills):
    write(tmp_path / "whole", truth=False, format=format)
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "c"), format, str(count), "105", "10"]
    for line, delay in kills:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(line):
            assert process.stdout.readline()
        time.sleep(delay)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert gone(process.pid)
        known = open_corpus(tmp_path / "c")
        assert not known.manifest["complete"]
        assert [known.problem(number) for number in range(len(known.shards))] == [None] * len(known.shards)
        whole = contents(tmp_path / "whole")
        assert all(path.read_bytes() == whole[path.name] for path in (tmp_path / "c").glob("shard-*"))
        assert not (tmp_path / "c" / "train.bin").exists()
    write(tmp_path / "c", truth=False, format=format)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


class FullDisk:
    """os.fsync on a disk that has room for so many files, or pieces of one."""

    def __init__(self, room):
        self.room, self.fsync = room, os.fsync

    def __call__(self, handle):
        self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device")
        self.fsync(handle)


@pytest.mark.parametrize(("format", "options"), [("parquet", ["--truth"]), ("bin", ["--format", "bin"])])
@pytest.mark.parametrize("room", [0, 3, 4, 5, 8, 13])
def test_a_full_disk_is_one_line_and_what_is_finished_is_kept(tmp_path, monkeypatch, capsys, format, options, room):
    monkeypatch.chdir(tmp_path)
    command = [*GENERATE[:-1], *options]
    assert cli.run([*command, "--out", "whole", "--workers", "1"]) == 0
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", FullDisk(room))
        said = said_by(capsys, [*command, "--out", "c", "--workers", "1"], 1)
    assert check_one_line(said, "; choose another place or make room").startswith("satlab: c/")
    assert "No space left on device" in said.err
    assert set(hidden(tmp_path / "c")) <= {storage.TokenFile.UNFINISHED}
    whole = contents(tmp_path / "whole")
    for path in (tmp_path / "c").glob("shard-*"):
        assert path.read_bytes() == whole[path.name]
    assert cli.run([*command, "--out", "c", "--workers", "1"]) == 0
    assert contents(tmp_path / "c") == whole


def test_a_file_of_tokens_that_outgrows_the_disk_ends_with_a_whole_shard(tmp_path):
    """Here the system itself writes a part of the third shard and no more."""
    (tmp_path / "slow.py").write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (10**4, 10**4))\n" + SLOW
    )
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "c"), "bin", "1", "800", "200"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    assert "File too large" in done.stderr
    assert (tmp_path / "c" / storage.TokenFile.UNFINISHED).stat().st_size == 2 * 200 * 9 * 2
    for out in ("c", "whole"):
        list(write_corpus(load_language("demo-hmm"), "mine", 800, tmp_path / out, 3, False, "bin", shard_sentences=200))
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_an_interruption_keeps_what_is_finished(tmp_path):
    write(tmp_path / "whole")
    writer = write_corpus(load_language("demo-hmm"), "mine", SENTENCES, tmp_path / "c", 3, True, shard_sentences=SHARD)
    for _ in range(4):
        next(writer)
    with pytest.raises(KeyboardInterrupt):
        writer.throw(KeyboardInterrupt)
    known = open_corpus(tmp_path / "c")
    assert [known.problem(number) for number in range(len(known))] == [None] * 4 + ["missing"] * 7
    assert hidden(tmp_path / "c") == []
    write(tmp_path / "c", workers=None)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


FORKS = """
import sys
from satlab.lab.cli import main as cli
from satlab.system import processes as workers
start_method, found = workers.start_method, []
workers.start_method = lambda: found.append(start_method()) or found[-1]
sys.stderr.isatty = lambda: True
status = cli.run(sys.argv[1:])
print(status, *found)
"""


@pytest.mark.slow
def test_the_command_forks(tmp_path):
    """The bar of a terminal has a thread that would keep it from that; a process of its own has no other."""
    command = [*GENERATE, "--out", str(tmp_path / "c"), "--workers", "2"]
    done = subprocess.run([sys.executable, "-c", FORKS, *command], check=False, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"0 {'fork' if sys.platform == 'linux' else 'spawn'}", done.stderr


def test_other_versions_do_not_mix(tmp_path):
    writer = write_corpus(load_language("demo-hmm"), "mine", SENTENCES, tmp_path / "c", 3, True, shard_sentences=SHARD)
    next(writer)
    writer.close()
    path = tmp_path / "c" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["torch"] = "1.2.3"
    path.write_text(json.dumps(manifest | {"manifest_sha256": signature(manifest)}))
    with pytest.raises(InputError, match=r"begun with torch 1.2.3, but .* has torch .*; install torch 1.2.3 there"):
        write(tmp_path / "c")
    assert len(list((tmp_path / "c").glob("shard-*"))) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "parkuet"], ["unknown format 'parkuet'", "did you mean 'parquet'"]),
        (["--format", "bin"], ["format 'bin'", "no truth"]),
        (["--engine", "rey"], ["unknown engine 'rey'", "did you mean 'ray'"]),
        (["--workers", "0"], ["0 workers", "expected 1 to"]),
        (["--workers", "-2"], ["-2 workers", "expected 1 to"]),
        (["--workers", "1000000"], ["1000000 workers", "for each of the", "processors here"]),
        (["--workers", "1000000", "--engine", "ray"], ["1000000 workers", "expected 1 to 10000 parallel tasks"]),
        (["--workers", "0", "--engine", "ray"], ["0 workers", "expected 1 to 10000 parallel tasks"]),
        (["--shard-sentences", "0"], ["0 shard_sentences", "at least 1"]),
        (["--workers", "many"], ["workers", "many", "expected an integer"]),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(tmp_path, refused, options, words):
    refused([*GENERATE, "--out", tmp_path / "c", *options], *words)
