"""What holds for every command: whatever it is given, it ends soon, in few words, and spoils nothing.

Commands enter by being registered in `cli.COMMANDS`; each needs a line in MINIMAL.
"""

import contextlib
import hashlib
import io
import os
import shutil
import signal
import warnings
from itertools import cycle, islice

import pytest
import yaml
from support.bad_files import STUDY
from support.hugging_face import write_network, write_tsv
from support.odd_inputs import DEVICES, ERRORS, FILES, NAMES, NUMBERS, PLACES, lay_out

from satlab.lab.cli import main as cli
from satlab.lab.studies.config import load_study
from satlab.lab.studies.study import prepare

SMALL = ["--steps", "2", "--batch_size", "8", "--evaluation_sentences", "20", "--model", "bert-post-1x8"]

DRIFT = ["--clock", "0.01", "--batch_size", "2", "--points", "1", "--contexts", "5", "--sentences", "5"]

MINIMAL = {
    "generate": ["demo-hmm", "--sentences", "5", "--out", "new"],
    "verify": ["corpus"],
    "floor": ["demo-hmm", "--sentences", "5"],
    "show": ["demo-hmm", "--samples", "5"],
    "induce": ["trees.mrg", "--out", "new.pcfg"],
    "train": ["demo-hmm", "--out", "new", *SMALL],
    "evaluate": ["run", "--sentences", "5"],
    "probe": ["run", "--task", "state-1", "--train_sentences", "20", "--test_sentences", "20", "--seeds", "1"],
    "flatness": ["run", "--contexts", "5"],
    "theorem": ["run", "--name", "bartlett:contexts=2,vectors=2"],
    "drift": ["run", "--out", "new", *DRIFT],
    "conditions": ["wei2021-hmm", "--max_length", "4"],
    "oracle": ["wei2021-hmm", "--max_length", "4", "--train_sentences", "20", "--test_sentences", "20"],
    "features": ["--hf", "network", "--texts", "texts.tsv", "--out", "new", "--l2", "0.1"],
    "experiment": ["drift:replicas=2,points=1,clock=1,etas=0.2,batches=4,noises=exact", "--out", "new"],
    "export": ["run", "--out", "new"],
    "models": [],
    "widen": ["run", "--to", "bert-post-1x16", "--sentences", "2", "--out", "new"],
    "average": ["run", "--ema", "--out", "new"],
    "study": ["study.yaml", "--out", "new", "--cells"],
    "table": ["run", "--matched"],
    "plot": ["run"],
    "report": ["run"],
}
"""Command -> the arguments with which it does the least that it can be asked for, in a directory made by `original`."""

MORE = [
    *(["--nonsense"], ["--nonsense=3"], ["--"], ["--", "--traceback"], ["-x"], ["--", "one", "more"], ["\udcff"], [""]),
    *([" "], ["--\u0301"], ["=", "=="], ["--="], ["@file.txt"], ["---"], ["--out"], ["--help=3"], ["--version"]),
]
"""What a command line ends with."""

MOST_LINES, PATIENCE = 3, 60
"""Lines on stderr of a command, and seconds in which it ends."""

WRITTEN = ("--out", "--png", "--cache")
"""Options that say where to write."""

FEW = 3
"""Odd values of an argument that are tried each time, each with others; the slow tests try all."""


class HungError(BaseException):
    """A command goes on for longer than any of these has to; no Exception, so that none swallows it."""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A directory with a run, one without checkpoints, a corpus, a study, trees, a network, texts and the odd files."""
    folder = tmp_path_factory.mktemp("floor") / "place"
    folder.mkdir()
    with contextlib.chdir(folder):
        lay_out(folder)
        assert cli.run(["train", "demo-hmm", "--out", "run", "--average", "0.9", *SMALL]) == 0
        assert cli.run(["generate", "demo-hmm", "--out", "corpus", "--sentences", "5"]) == 0
        shutil.copytree("run", "unfinished", ignore=shutil.ignore_patterns("checkpoints", "metrics.jsonl"))
        write_network("network")
        write_tsv(folder / "texts.tsv", 8)
        (folder / "trees.mrg").write_text("(S (A a) (B b))\n(S (A c) (B b))\n")
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
        prepare(load_study("study.yaml"), folder / "study")
    return folder


@pytest.fixture
def place(original, tmp_path, monkeypatch):
    """A copy of it, as the working directory; a command that hangs there is ended."""

    def hung(*_):
        raise HungError

    copy_to(original, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    before = signal.signal(signal.SIGALRM, hung), warnings.showwarning
    yield tmp_path / "place"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before[0])
    warnings.showwarning = before[1]


def copy_to(original, folder):
    shutil.copytree(original, folder, symlinks=True, ignore=shutil.ignore_patterns("pipe"))
    os.mkfifo(folder / "pipe")


def listing(folder):
    """Path -> what is there, of all that is there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "directory" if path.is_dir() else "pipe" if path.is_fifo() else "file"
        found[path] = (kind, hashlib.sha256(path.read_bytes()).hexdigest() if kind == "file" else "")
    return found


def arguments_of(command):
    """The arguments of a command that take a value: (its place among the positional ones or its option, its type)."""
    found, position = [], 0
    for action in PARSER._subcommands_action._name_parser_map[command]._actions:
        if action.nargs == 0 or action.dest == "help":
            continue
        written = [name for name in action.option_strings if not name.endswith("+")]
        found.append((written[0] if written else position, str(getattr(action, "_typehint", "str"))))
        position += not written
    return found


def line_with(command, argument, value):
    """The minimal command line with one value replaced or added."""
    minimal = list(MINIMAL[command])
    if isinstance(argument, str):
        return [command, *minimal, f"{argument}={value}"]
    return [command, *minimal[:argument], value, *minimal[argument + 1 :]]


PARSER = cli.make_parser()
ARGUMENTS = [(command, *argument) for command in cli.COMMANDS for argument in arguments_of(command)]


def values_for(number, argument, kind):
    """All odd values for an argument of a type, and the few for the argument of this number.

    No command is asked to write to a device: one that replaced it would spoil the machine.
    """
    values = [*NAMES, *PLACES, *FILES] if "str" in kind else NUMBERS
    values = [value for value in values if argument not in WRITTEN or value not in DEVICES]
    return values, list(islice(cycle(values), number * FEW, (number + 1) * FEW))


def said_wrong(status, err, changed):
    """What is not as it has to be of an ending; nothing where all is. Rows of training are not counted."""
    lines = sum(not line.startswith("step ") for line in err.splitlines())
    return [
        said
        for said, wrong in {
            f"exit status {status}": status not in (0, 1, 2),
            f"{lines} lines on stderr": lines > MOST_LINES,
            "a traceback": "Traceback" in err,
            "an error that nobody foresaw": "fault of satlab" in err,
            "nothing said": status != 0 and not err.startswith("satlab: "),
            "refused, yet something was written": status != 0 and changed,
        }.items()
        if wrong
    ]


def tried(line):
    """(status, stderr) of a command line; status is what it was that hung or raised otherwise."""
    signal.alarm(PATIENCE)
    err = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            status = cli.run(line)
    except SystemExit as ended:
        status = ended.code
    except HungError:
        status = f"none after {PATIENCE} s"
    except BaseException as error:  # noqa: BLE001 - the fault that is looked for
        status = repr(error)
    finally:
        signal.alarm(0)
    return status, err.getvalue()


def check(lines, original, place):
    """Fails with every line that does not end as it has to."""
    before, faults = listing(place), []
    for line in lines:
        status, err = tried(line)
        changed = listing(place) != before
        wrong = said_wrong(status, err, changed)
        if wrong:
            faults.append(f"{line!r:.200}: {'; '.join(wrong)}: {err[-500:]}")
        if changed:
            shutil.rmtree(place)
            copy_to(original, place)
            os.chdir(place)
    # Escaped: a report with half a character is lost on its way to the process that collects it.
    assert not faults, "\n".join(faults).encode("ascii", "backslashreplace").decode()


def test_every_command_is_tried():
    lacking = [name for name in cli.COMMANDS if name not in MINIMAL]
    assert lacking == [], f"add the least valid arguments of {', '.join(lacking)} to MINIMAL in {__file__}"


@pytest.mark.parametrize("command", MINIMAL)
def test_the_minimal_line_is_valid(command, original, place):
    status, err = tried([command, *MINIMAL[command]])
    assert (status, said_wrong(status, err, False)) == (0, []), err


@pytest.mark.parametrize(
    ("number", "command", "argument", "kind"),
    [(number, *given) for number, given in enumerate(ARGUMENTS)],
    ids=[f"{command}-{argument}" for command, argument, _ in ARGUMENTS],
)
def test_odd_values(number, command, argument, kind, original, place):
    check([line_with(command, argument, value) for value in values_for(number, argument, kind)[1]], original, place)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "argument", "kind"), ARGUMENTS, ids=[f"{command}-{argument}" for command, argument, _ in ARGUMENTS]
)
def test_all_odd_values(command, argument, kind, original, place):
    check([line_with(command, argument, value) for value in values_for(0, argument, kind)[0]], original, place)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_odd_lines(command, original, place):
    """Nothing given, too much given, options that are none, empty values, and options that are cut short."""
    minimal = MINIMAL[command]
    lines = [[command, *minimal, *more] for more in MORE] + [
        [command, *minimal[:most]] for most in range(min(2, len(minimal)))
    ]
    lines += [line_with(command, argument, "") for name, argument, _ in ARGUMENTS if name == command]
    lines += [
        [command, *minimal, option] for name, option, _ in ARGUMENTS if name == command and isinstance(option, str)
    ]
    check(lines, original, place)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_empty_value_is_refused_and_named(command, original, place):
    for name, argument, _ in ARGUMENTS:
        if name == command:
            status, err = tried(line_with(command, argument, ""))
            shown = argument.replace("_", "-") if isinstance(argument, str) else "an argument"
            assert (status, err.partition(" is empty")[0]) == (2, f"satlab: {shown}")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_whatever_comes_out_of_a_command_is_one_line(command, original, place, monkeypatch):
    def raising(error):
        def work(given):
            raise error

        return work

    line = [command, *MINIMAL[command]]
    for error in ERRORS:
        monkeypatch.setattr(cli.COMMANDS[command], "run", raising(error))
        status, err = tried(line)
        assert (status, err.count("\n"), "Traceback" in err) == (1, 1, False), err
        assert len(err) < 1000
        status, err = tried([*line[:1], "--traceback", *line[1:]])
        assert (status, err.startswith("Traceback"), "in work" in err) == (1, True, True)
        assert err.splitlines()[-1].startswith("satlab: ")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_interruption_is_one_line(command, original, place, monkeypatch):
    def work(given):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

    monkeypatch.setattr(cli.COMMANDS[command], "run", work)
    status, err = tried([command, *MINIMAL[command]])
    assert (status, err) == (130, "satlab: interrupted; run the same command again to go on\n")
