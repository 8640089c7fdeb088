"""Help and usage errors come at once: what a command needs is imported when it is run."""

import subprocess
import sys

import pytest

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
)


def loaded_by(*arguments):
    """(exit status, the heavy packages that are loaded when the command has ended)."""
    code = (
        "import sys\nfrom satlab.lab.cli.main import run\n"
        "try:\n    status = run(sys.argv[1:])\nexcept SystemExit as ended:\n    status = ended.code\n"
        f"print('loaded', status, *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    status, *loaded = done.stdout.splitlines()[-1].split()[1:]
    return int(status), loaded


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["--version"], 0), (["trian"], 2), ([], 2)])
def test_nothing_heavy_is_loaded_where_no_command_is_run(arguments, status):
    assert loaded_by(*arguments) == (status, [])
