"""Every bad input ends with one line that says what is wrong and where, exit status 2, and nothing written."""

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.bad_files import SMALL, save_chain, write_files
from support.commands import Said, check_one_line, listing, said_by

from satlab.lab.cli import main as cli
from satlab.lab.runs import run
from satlab.system import memory

HELD_OUT = "--evaluation_sentences 1000000000000 --most_evaluation_sentences 1000000000000"
ADVERSARY = "--adversary_task state-4 --stop_at_saturation false --adversary_sentences 100000000000"
OFTEN = "--steps 40000000 --evaluate_every 1 --evaluate_growth"
TRAIN = f"train demo-hmm --out new --steps 2 {SMALL}"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    write_files(folder)
    return folder


class HungError(BaseException):
    """No command of these tests has more to do than a few seconds' work; not an Exception, so that none swallows it."""


@pytest.fixture
def place(original, tmp_path, monkeypatch):
    """A copy of it to work in. A command that hangs is interrupted."""

    def interrupt(*_):
        raise HungError

    shutil.copytree(original, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(180)
    yield tmp_path / "place"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def floor(language, options=""):
    """Generate, so that --out is seen not to be made, is what every language row runs."""
    return f"generate {language} --sentences 5 --out new {options}"


LANGUAGES = [
    (floor("nowhere.pcfg"), ["nowhere.pcfg", "no such file"]),
    (floor("malformed.pcfg"), ["malformed.pcfg", "line 2", "S => 'b' [0.5]"]),
    (floor("sum.pcfg"), ["sum.pcfg", "rules of T", "0.8", "expected 1"]),
    (floor("undefined.pcfg"), ["undefined.pcfg", "nonterminal NP", "used by S", "never defined"]),
    (floor("endless.pcfg"), ["endless.pcfg", "nonterminal S", "never ends"]),
    (floor("long.pcfg", "--max-length 3"), ["long.pcfg", "nonterminal S", "4 words", "max_length = 3"]),
    (floor("long.pcfg", "--max-length -1"), ["long.pcfg", "max_length is -1"]),
    (floor("cycle.pcfg"), ["cycle.pcfg", "nonterminal S", "never ends"]),
    (floor("rounded.pcfg"), ["rounded.pcfg"]),
    (floor("empty.pcfg"), ["empty.pcfg", "no rules", "expected"]),
    (floor("emptyrule.pcfg"), ["emptyrule.pcfg", "rule 'S ->' is empty"]),
    (floor("unquoted.pcfg"), ["unquoted.pcfg", "line 1"]),
    (floor("text.pcfg"), ["text.pcfg", "line 1", "expected"]),
    (floor("garbage.pcfg"), ["garbage.pcfg", "expected"]),
    (floor("garbage.npz"), ["garbage.npz", "numpy.savez"]),
    (floor("garbage.yaml"), ["garbage.yaml", "expected"]),
    (floor("folder.pcfg"), ["folder.pcfg", "expected"]),
    (floor("other"), ["other", "expected", ".pcfg"]),
    (floor("good.txt"), ["good.txt", "suffix", ".pcfg"]),
    (floor("row.npz"), ["row.npz", "transition probabilities of state 2", "1.1"]),
    (floor("nan.npz"), ["nan.npz", "emission probabilities of state 2", "nan"]),
    (floor("scalar.npz"), ["scalar.npz", "words"]),
    (floor("length.npz"), ["length.npz", "length 0", "expected 1 to"]),
    (floor("length.yaml"), ["length.yaml", "length 0", "at least 1"]),
    (floor("demo-hmm", "--max_length 0"), ["length 0", "at least 1"]),
    (floor("demo-pcfg", "--max_length 3"), ["layered-pcfg", "max_length"]),
    (floor("demo-pcfg", f"--max_length 1{'0' * 20}"), ["layered-pcfg", "determine its length"]),
    (floor("long.pcfg", f"--max_length 1{'0' * 20}"), [f"max_length is 1{'0' * 20}", "expected 1 to 4096 words"]),
    (floor("demo-hmm", f"--max_length 1{'0' * 20}"), [f"length 1{'0' * 20}", "expected 1 to 10000000 words"]),
    (floor("demo-hm"), ["demo-hm", "did you mean 'demo-hmm'"]),
    (floor("preset.yaml"), ["preset.yaml", "did you mean 'demo-hmm'"]),
    (floor("key.yaml"), ["key.yaml", "'stats'", "did you mean 'states'"]),
    (floor("list.yaml"), ["list.yaml", "expected a mapping"]),
    (floor("states.yaml"), ["states.yaml", "states"]),
    (floor("negative.yaml"), ["negative.yaml", "-2"]),
    (floor("family.yaml"), ["family.yaml", "family"]),
    (floor("layers.yaml"), ["layers.yaml", "layers"]),
    (floor("self.yaml"), ["self.yaml"]),
    (floor("bound.yaml"), ["bound.yaml", "max_length", "six", "an integer"]),
]

COMMANDS = [
    ("generat demo-hmm", ["unknown command 'generat'", "did you mean 'generate'"]),
    ("", ["command"]),
    ("generate demo-hmm --out new", ["sentences", "missing"]),
    ("generate demo-hmm --sentences 0 --out new", ["0 sentences", "at least 1"]),
    ("generate demo-hmm --sentences -3 --out new", ["-3 sentences", "at least 1"]),
    ("generate demo-hmm --sentences ten --out new", ["sentences", "ten", "expected an integer"]),
    ("generate demo-hmm --sentence 5 --out new", ["unknown option '--sentence'", "did you mean '--sentences'"]),
    ("generate demo-hmm more --sentences 5 --out new", ["unknown argument 'more'"]),
    ("generate demo-hmm --sentences 5 --out good.txt", ["good.txt", "expected a new or empty directory"]),
    ("generate demo-hmm --sentences 5 --out good.txt/new", ["good.txt"]),
    ("generate demo-hmm --sentences 5 --out other", ["other", "holds something else"]),
    ("generate demo-hmm --sentences 5 --out run", ["run", "holds something else"]),
    ("generate demo-hmm --sentences 6 --out corpus", ["corpus", "another corpus", "sentences: 5"]),
    ("generate demo-hmm --sentences 5 --out corpus --seed 1", ["corpus", "another corpus", "seed: 0"]),
    ("generate demo-hmm --sentences 5 --out corpus --truth", ["corpus", "another corpus", "truth"]),
    ("generate demo-pcfg --sentences 5 --out corpus", ["corpus", "another corpus"]),
    ("conditions demo-hmm --task state-1", ["task 'state-1'", "expected the task posterior"]),
    ("conditions demo-hmm", ["posterior"]),
    ("oracle demo-hmm --task state-1", ["task 'state-1'", "expected the task posterior"]),
    ("oracle demo-hmm --chains 0", ["chains is 0", "at least 1"]),
    ("oracle demo-hmm --train-sentences 1", ["train_sentences is 1", "at least 2"]),
    ("oracle nothing.npz --chains 2", ["chains is 2", "nothing.npz", "random family"]),
    ("probe run --task state-4 --method head", ["task 'state-4' is not a function of a posterior"]),
    ("probe run --task state-4 --method prompt --prompt 50", ["prompt is 50", "give prompt at most"]),
    ("probe run --task state-4 --method prompt --order last", ["order is 'last'", "prompt-mask-text"]),
    ("probe run --task state-4 --method head --reads word", ["reads is 'word'", "words, logits, feature, pooled"]),
    ("floor demo-hmm --sentences 1", ["1 sentences", "at least 2"]),
    ("floor demo-hmm --sentences '!!timestamp x'", ["sentences is '!!timestamp x', expected an int", "floor --help"]),
    (f"floor demo-hmm --sentences {'9' * 5000}", ["sentences has more than 4,000 digits"]),
    ("floor demo-hmm --masking two", ["masking 'two'", "one, bernoulli"]),
    ("floor demo-hmm --masking bernoulli:2", ["bernoulli:2", "0 < p <= 1"]),
    ("floor demo-hmm --masking bernoulli:0.0001 --sentences 2", ["bernoulli:0.0001"]),
    (f"{TRAIN} --steps 0", ["steps is 0", "at least 1"]),
    (f"{TRAIN} --steps 1{'0' * 310}", ["steps is a number of 311 digits", "expected at most 99999999"]),
    (f"{TRAIN} --steps 4000000000000 --evaluate_growth 1", ["steps is 4000000000000", "expected at most 99999999"]),
    (f"{TRAIN} {OFTEN} 1", ["evaluate_every is 1 and evaluate_growth 1.0 for 40000000 steps", "at most 1000000 rows"]),
    (f"{TRAIN} {OFTEN} 1.0000001", ["evaluate_growth 1.0000001 for 40000000 steps", "at most 1000000 rows"]),
    (f"{TRAIN} {ADVERSARY}", ["adversary_sentences is 100000000000", "GiB of this machine", "take fewer"]),
    (
        f"{TRAIN} --most_evaluation_sentences 49",
        ["most_evaluation_sentences is 49", "at least evaluation_sentences, 50"],
    ),
    (f"{TRAIN} --masking bernoulli:", ["masking 'bernoulli:'", "0 < p <= 1"]),
    (f"{TRAIN} --lr abc", ["lr is 'abc'", "expected a number"]),
    (f"{TRAIN} --lr -1", ["lr is -1", "positive"]),
    (f"{TRAIN} --lr nan", ["lr is", "nan"]),
    (f"{TRAIN} --lrr 1", ["unknown option '--lrr'", "did you mean '--lr'"]),
    (f"{TRAIN} --step 3", ["unknown option '--step'", "did you mean '--steps'"]),
    (f"{TRAIN} --max-lenght 3", ["unknown option '--max-lenght'", "did you mean '--max-length'"]),
    (f"{TRAIN} --batch_size -1", ["batch_size is -1", "at least 1"]),
    (f"{TRAIN} --evaluation_sentences 1", ["evaluation_sentences", "at least 2"]),
    (f"{TRAIN} --dropout 1", ["dropout is 1", "below 1"]),
    (f"{TRAIN} --weight_decay -1", ["weight_decay"]),
    (f"{TRAIN} --checkpoints [-1]", ["checkpoints are [-1]", "from 1 on"]),
    (f"{TRAIN} --checkpoints 5", ["checkpoints is '5'", "list"]),
    (f"{TRAIN} --schedule cosin", ["schedule is 'cosin'", "'cosine'"]),
    (f"{TRAIN} --schedule qqq", ["schedule is 'qqq', expected one of constant, cosine, linear, wsd; correct it"]),
    (f"{TRAIN} --seed -1", ["seed is -1, expected at least 0"]),
    (f"{TRAIN} --lr=", ["--lr is empty", "expected a value"]),
    (f"{TRAIN} --evaluation-sentences ''", ["--evaluation-sentences is empty", "expected a value"]),
    ("generate demo-hmm --sentences 5 --out new --seed -1", ["seed is -1, expected at least 0"]),
    ("floor demo-hmm --seed -1", ["seed is -1, expected at least 0"]),
    ("show demo-hmm --seed -1", ["seed is -1, expected at least 0"]),
    ("floor ''", ["an argument is empty", "expected a value"]),
    (f"{TRAIN} --masking two", ["masking 'two'"]),
    (f"{TRAIN} --device cuda", ["device 'cuda'", "expected cpu"]),
    (f"{TRAIN} --device tpu", ["device 'tpu'", "expected cpu"]),
    (f"{TRAIN} --model bort-2x64", ["unknown model 'bort'", "did you mean 'bert'"]),
    (f"{TRAIN} --model bert", ["model 'bert'", "bert-2x64"]),
    (f"{TRAIN} --model bert-2x100", ["bert-2x100", "bert-2x128"]),
    (f"{TRAIN} --model lookup", ["lookup", "cannot be trained"]),
    (f"{TRAIN} --max_length six", ["max_length is 'six'", "expected an integer"]),
    (f"{TRAIN} --betas abc", ["betas is 'abc'", "expected two numbers"]),
    (f"{TRAIN} --betas [1,2,3]", ["betas is '[1,2,3]'", "expected two numbers"]),
    (f"{TRAIN} --compile 3", ["compile is '3'", "expected true or false"]),
    (f"{TRAIN} --adversary_strength x", ["adversary_strength is 'x'", "expected a number or null"]),
    (f"train demo-hmm --steps 2 {SMALL}", ["satlab: --out missing", "see satlab train --help"]),
    (f"train --out new --steps 2 {SMALL}", ["satlab: LANGUAGE missing", "see satlab train --help"]),
    (f"{TRAIN} --threads 100000", ["threads is 100000", "at most 1024"]),
    (f"{TRAIN} --batch_size 1000000000000", ["batch_size is 1000000000000", "58.2 TiB", "GiB of this machine"]),
    (f"{TRAIN} --batch_size 1{'0' * 400}", ["batch_size is 1000", "10^401 bytes", "GiB of this machine"]),
    (f"{TRAIN} {HELD_OUT}", ["evaluation_sentences is 1000000000000", "131 TiB"]),
    (f"{TRAIN} --model bert-2x6400000", ["983,040,320,000,010 parameters", "3.49 PiB", "GiB of this machine"]),
    (f"{TRAIN} --model bert-99999999x64", ["4,998,399,951,562 parameters", "18.2 TiB", "GiB of this machine"]),
    (f"{TRAIN} --model lstm-1001x1", ["lstm-1001x1", "1001 layers", "at most 1000"]),
    (f"{TRAIN} --model bert-{'9' * 5000}x64", ["model 'bert-9999", "expected bert-LAYERSxWIDTH"]),
    ("widen run --to bert-2x6400000 --out new", ["bert-2x6400000", "PiB"]),
    ("widen run --to bert-2x640000000000000001 --out new", ["cannot be enlarged", "bert-2x640000000000000000"]),
    (
        "train demo-hmm --out empty",
        ["config.yaml: empty", "expected a mapping", "restore the file that satlab train wrote"],
    ),
    (f"{TRAIN} --config nowhere.yaml", ["nowhere.yaml"]),
    (f"{TRAIN} --config lr.yaml", ["lr is 'abc'", "expected a number"]),
    (f"{TRAIN} --config null.yaml", ["null.yaml", "lr", "expected"]),
    (f"{TRAIN} --config lrr.yaml", ["unknown key 'lrr'", "did you mean 'lr'"]),
    (f"train demo-hmm --out new {SMALL} --config steps.yaml", ["steps is -1", "at least 1"]),
    (f"{TRAIN} --config schedule.yaml", ["schedule is 'cosin'", "'cosine'"]),
    (f"{TRAIN} --config broken.yaml", ["broken.yaml"]),
    (f"{TRAIN} --config garbage.yaml", ["garbage.yaml"]),
    (f"{TRAIN} --out other", ["other", "holds something else"]),
    (f"{TRAIN} --out corpus", ["corpus", "holds something else"]),
    (f"{TRAIN} --out good.txt", ["good.txt", "expected a new or empty directory"]),
    (f"{TRAIN} --out good.txt/new", ["good.txt"]),
    (f"{TRAIN} --out run --lr 0.5", ["another run", "lr: 0.001 there, 0.5 given"]),
    (f"{TRAIN} --out run --seed 3", ["another run", "seed: 0 there, 3 given"]),
    (f"{TRAIN} --out run --model bert-1x16", ["another run", "model: bert-1x8 there, bert-1x16 given"]),
    (f"train demo-pcfg --steps 2 {SMALL} --out run", ["another run", "demo-hmm there, demo-pcfg given"]),
]

MEASUREMENTS = [
    ("evaluate nowhere", ["nowhere", "no run here", "satlab train"]),
    ("evaluate corpus", ["corpus", "no run here"]),
    ("evaluate good.txt", ["good.txt", "no run here"]),
    ("evaluate study", ["study", "no run here"]),
    ("evaluate untrained", ["untrained", "no checkpoint yet"]),
    ("evaluate empty", ["config.yaml: empty", "expected a mapping", "restore the file that satlab train wrote"]),
    ("evaluate run --step 77", ["run", "no checkpoint of step 77", "[2]"]),
    ("evaluate run --step two", ["step is 'two'", "expected an integer"]),
    ("evaluate run --sentences 0", ["sentences", "0", "at least 2"]),
    ("evaluate run --sentences 1", ["sentences", "1", "at least 2"]),
    ("evaluate run --sentences -1", ["sentences", "-1", "at least 2"]),
    ("evaluate run --device cuda", ["device 'cuda'", "expected cpu"]),
    ("flatness run --device gpu", ["device 'gpu'", "expected cpu"]),
    ("probe nowhere --task state-1", ["nowhere", "no run here"]),
    ("probe run", ["task", "missing"]),
    ("probe run --task stat-1", ["unknown task 'stat-1'", "did you mean 'state-1'"]),
    ("probe run --task A", ["unknown task 'A'", "state-1"]),
    ("probe run --task state-1 --seeds 0", ["seeds is 0", "at least 1"]),
    ("probe run --task state-1 --train_sentences -1", ["train_sentences is -1", "at least 1"]),
    ("probe run --task state-1 --l2 0", ["l2 is 0", "positive"]),
    ("probe run --task state-1 --step 9", ["no checkpoint of step 9"]),
    ("probe untrained --task state-1", ["untrained", "no checkpoint yet"]),
    ("flatness nowhere", ["nowhere", "no run here"]),
    ("flatness run --method sampled-gradent", ["flatness method", "did you mean 'sampled-gradient'"]),
    ("flatness run --contexts 1", ["contexts is 1", "at least 2"]),
    ("flatness run --contexts -1", ["contexts is -1", "at least 2"]),
    ("flatness run --draws 0", ["draws is 0", "at least 1"]),
    ("flatness untrained", ["untrained", "no checkpoint yet"]),
    ("verify run", ["run: a run", "expected a corpus made by satlab generate"]),
    ("verify study", ["study: a study", "expected a corpus made by satlab generate"]),
    ("plot nowhere", ["nowhere", "neither a run nor a study"]),
    ("plot run nowhere", ["nowhere", "neither a run nor a study"]),
    ("plot untrained", ["untrained", "no metrics yet"]),
    ("plot study", ["study", "no metrics yet"]),
    ("plot run --out good.txt", ["good.txt"]),
]


def study(name, out="new"):
    return f"study study-{name}.yaml --out {out} --workers 1"


STUDIES = [
    ("study demoo --out new", ["unknown study 'demoo'", "did you mean 'demo'"]),
    ("study nowhere.yaml --out new", ["nowhere.yaml", "no such file"]),
    ("study smoke --out new --device cuda", ["device 'cuda'", "expected cpu"]),
    ("study list.yaml --out new", ["list.yaml", "expected a mapping"]),
    ("study garbage.yaml --out new", ["garbage.yaml"]),
    ("study broken.yaml --out new", ["broken.yaml", "not YAML"]),
    ("study other --out new", ["other"]),
    (study("key"), ["study-key.yaml", "unknown key 'modles'", "did you mean 'models'"]),
    (study("lacks"), ["study-lacks.yaml", "models", "missing"]),
    (study("train"), ["study-train.yaml", "train", "unknown key 'lrr'", "did you mean 'lr'"]),
    (study("number-train"), ["study-number-train.yaml", "train is '3'", "expected a mapping of keys"]),
    (study("lr"), ["study-lr.yaml", "lr is 'abc'", "expected a number"]),
    (study("checkpoints"), ["checkpoints are [-1]"]),
    (study("masking"), ["masking 'two'"]),
    (study("list"), ["study-list.yaml", "models is", "expected a mapping of keys to values"]),
    (study("model"), ["unknown model 'bort'", "did you mean 'bert'"]),
    (study("number"), ["bert-1x8", "3", "expected"]),
    (study("modelkey"), ["bert-1x8", "unknown key 'lrr'", "did you mean 'lr'"]),
    (study("none"), ["no models"]),
    (study("task"), ["unknown task 'A'", "state-1"]),
    (study("tasks"), ["study-tasks.yaml", "tasks is 'state-1'", "list"]),
    (study("seeds"), ["study-seeds.yaml", "seeds", "expected an integer"]),
    (study("method"), ["flatness method", "did you mean 'sampled-gradient'"]),
    (study("contexts"), ["contexts", "-1"]),
    (study("evaluate"), ["sentences", "-1"]),
    (study("probe"), ["seeds is 0"]),
    (study("language"), ["demo-hm", "did you mean 'demo-hmm'"]),
    ("study study-workers.yaml --out new", ["workers", "-1", "at least 1"]),
    ("study study-good.yaml --out new --workers 0", ["0 workers", "expected 1 to"]),
    ("study study-good.yaml --out new --workers -1", ["-1 workers", "expected 1 to"]),
    ("study study-good.yaml --out new --workers two", ["workers is 'two'", "expected an integer"]),
    (study("good", "other"), ["other", "holds something else"]),
    (study("good", "run"), ["run", "holds something else"]),
    (study("good", "good.txt"), ["good.txt", "holds something else"]),
    (study("changed", "study"), ["another run", "lr: 0.001 there, 0.5 given"]),
]

ROWS = LANGUAGES + COMMANDS + MEASUREMENTS + STUDIES

LEAKS = ["Traceback", "not supported", "<class", "typing.", "Parser key", "Subtypes", "[options]"]
"""What no message shows a user: the insides of Python and of the parser."""


@pytest.mark.parametrize(("line", "fragments"), ROWS, ids=[line or "nothing" for line, _ in ROWS])
def test_bad_input(line, fragments, refused, place, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(memory, "machine_memory", lambda: 16 * 2**30)
    said = refused(line, *fragments)
    assert said.endswith("\n")
    assert [leak for leak in LEAKS if leak in said] == []


@pytest.mark.parametrize(
    ("line", "fragments", "module"),
    [
        (*LANGUAGES[1], True),
        *[
            pytest.param(*one, module, marks=pytest.mark.slow)
            for one in (COMMANDS[0], MEASUREMENTS[0], STUDIES[0])
            for module in (False, True)
        ],
    ],
)
def test_bad_input_as_a_process(line, fragments, module, place):
    before = listing(place)
    script = shutil.which("satlab", path=os.path.dirname(sys.executable))
    start = [sys.executable, "-m", "satlab"] if module or script is None else [script]
    done = subprocess.run([*start, *shlex.split(line)], check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    check_one_line(Said(done.stdout, done.stderr), *fragments)
    assert listing(place) == before


@pytest.mark.parametrize("kind", ["pcfg", "npz"])
def test_rows_that_nearly_sum_to_one_are_renormalised_with_one_warning(kind, place, capsys):
    (place / "near.pcfg").write_text("S -> 'a' [0.5] | 'b' [0.4995]\n")
    save_chain(place / "near.npz", transition=np.array([[0.5, 0.5], [0.5, 0.5005]]))
    assert cli.run(["floor", f"near.{kind}", "--sentences", "20"]) == 0
    captured = capsys.readouterr()
    name = {"pcfg": "rules of S sum to 0.9995", "npz": "transition probabilities of state 2 sum to 1.0005"}[kind]
    assert captured.err.startswith("satlab: warning: ")
    assert name in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written(place, capsys):
    (place / "locked").mkdir(mode=0o500)
    before = listing(place)
    assert cli.run(["generate", "demo-hmm", "--sentences", "5", "--out", "locked/new"]) in (1, 2)
    captured = capsys.readouterr()
    assert "locked" in captured.err
    assert captured.err.count("\n") == 1
    assert listing(place) == before


def test_a_full_disk_is_one_line(place, capsys, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(run, "write_atomic", full)
    assert cli.run(shlex.split(TRAIN)) == 1
    check_one_line(Said(*capsys.readouterr()), "satlab: new/config.yaml: No space left on device")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 72.8 TiB for an array"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 40 bytes."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_memory_that_runs_out_is_one_line(error, place, capsys, monkeypatch):
    def greedy(*_):
        raise error

    monkeypatch.setattr(cli.COMMANDS["verify"], "run", greedy)
    check_one_line(said_by(capsys, "verify corpus", 1), "satlab: not enough memory")


def test_the_allocator_says_what_is_looked_for(place, capsys):
    check_one_line(said_by(capsys, "evaluate run --sentences 10000000000000", 1), "satlab: not enough memory (")


def test_an_error_of_satlab_itself_is_one_line_and_can_be_traced(place, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(cli.COMMANDS["verify"], "run", broken)
    said = check_one_line(said_by(capsys, "verify corpus", 1))
    assert said.startswith(f"satlab: unexpected RuntimeError: a defect, {__file__} line ")
    assert "; this is a fault of satlab, or of a file added to it: please report it" in said
    assert cli.run(["verify", "--traceback", "corpus"]) == 1
    traced = capsys.readouterr().err
    assert (traced.startswith("Traceback"), "in broken" in traced, traced.endswith(said)) == (True, True, True)


def test_checkpoints_beyond_the_last_step_are_named(place, capsys):
    assert cli.run(shlex.split(f"{TRAIN} --checkpoints [900,1,500]")) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "checkpoints" in line]
    assert line == "satlab: warning: checkpoints [500, 900] lie beyond the 2 steps and are left out"
    assert sorted(path.name for path in (place / "new/checkpoints").iterdir()) == ["step-00000001", "step-00000002"]
