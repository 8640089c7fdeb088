"""Help and usage errors come at once: what a command needs is imported when it is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from satlab.lab.cli.main import COMMANDS
from satlab.lab.reading import field_types

HEAVY = (
    "torch",
    "numpy",
    "scipy",
    "sklearn",
    "nltk",
    "numba",
    "matplotlib",
    "pyarrow",
    "transformers",
    "hmmlearn",
    "wandb",
    "jsonargparse",
)

LOADED = """
import json, sys
from satlab.lab.cli.main import run
status = []
for line in json.loads(sys.argv[1]):
    try:
        status.append(run(line))
    except SystemExit as ended:
        status.append(ended.code)
print("loaded", json.dumps([status, [name for name in json.loads(sys.argv[2]) if name in sys.modules]]))
"""


def loaded_by(*lines, cwd=None):
    """(exit status of each command line, the heavy packages that are loaded when all have ended)."""
    arguments = [json.dumps(lines), json.dumps(HEAVY)]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], check=False, capture_output=True, text=True, timeout=120, cwd=cwd
    )
    return json.loads(done.stdout.splitlines()[-1].removeprefix("loaded "))


def test_nothing_heavy_is_loaded_where_no_command_is_run():
    assert loaded_by(["--version"], ["trian"], [], ["--nonsense"]) == [[0, 2, 2, 2], []]


@pytest.mark.parametrize("line", [["--help"], ["verify", "--help"]])
def test_help_of_a_command_without_settings_loads_its_writer_alone(line):
    assert loaded_by(line) == [[0], ["jsonargparse"]]


DRAWN = Path(__file__).parents[2] / "fixtures" / "first_layout"


def test_verifying_a_corpus_loads_nothing():
    assert loaded_by(["verify", str(DRAWN / "corpus-bin")]) == [[0], []]


def test_what_was_recorded_is_drawn_without_torch(tmp_path):
    """The language's fingerprint is that of its file, and what a row's method depends on is read off the sources."""
    lines = ["plot", str(DRAWN / "study"), "--out", str(tmp_path)], ["report", str(DRAWN / "study")]
    lines[1].extend(["--out", str(tmp_path / "report.html")])
    assert loaded_by(*lines) == [[0, 0], ["numpy", "matplotlib"]]


def test_tasks_are_found_without_nltk():
    """nltk imports scikit-learn, and both together take two seconds. Every command with a task looks through all."""
    code = "import sys; from satlab.generators.tasks import task_kinds; print(len(task_kinds)); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    number, modules = done.stdout.splitlines()
    assert int(number) > 5
    assert not {"nltk", "sklearn"} & set(modules.split())


def usage_errors(command):
    """Command lines that a command refuses for what it takes, whatever the values mean."""
    declared = COMMANDS[command].arguments()
    required = [f"--{each.name}=x" if each.option else "x" for each in declared.own if each.required]
    numbers = [each.name for each in declared.own if each.kind in (int, int | None)]
    return [
        *([[command, *required[:-1]]] if required else []),
        [command, *required, "--nonsense"],
        *([] if any(each.many for each in declared.own) else [[command, *required, *["more"] * 9]]),
        *([command, *required, f"--{name}", "many"] for name in numbers[:1]),
    ]


def test_usage_errors_load_nothing():
    lines = [line for command in COMMANDS for line in usage_errors(command)]
    assert len(lines) > 2 * len(COMMANDS)
    assert loaded_by(*lines) == [[2] * len(lines), []]


@pytest.mark.parametrize("command", COMMANDS)
def test_settings_are_those_of_their_class(command):
    """Their names are read off the source, that of the class's bases and of registered entries included."""
    settings = COMMANDS[command].arguments().settings
    if settings is not None:
        from satlab.lab.cli.settings_source import setting_names

        found = setting_names(settings.module, settings.name, settings.entries)
        assert found == field_types(settings.load()).keys()
