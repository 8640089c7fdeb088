"""Checks the sdist and the wheel in a folder against what git tracks: all modules and data, and nothing else.

python .ci/check_distribution.py build/dist
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGES = ("flatness", "generators", "lab", "models", "probes", "studies", "system", "theory", "train")
"""The folders at the root that belong to the package `satlab`, with the YAML files of studies/."""

SHIPPED = (".py", ".typed", ".yaml", ".js", ".css", ".html")
ALONGSIDE = ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "setup.cfg", "pyproject.toml")


def tracked() -> set[str]:
    """The files of the package, relative to the root of the checkout."""
    names = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    inside = {name for name in names if name.split("/")[0] in PACKAGES or "/" not in name}
    return {name for name in inside if name.endswith(SHIPPED)} - {"mkdocs.yml"}


def in_wheel(path: Path) -> set[str]:
    """The files of the package in a wheel."""
    names = zipfile.ZipFile(path).namelist()
    return {name.removeprefix("satlab/") for name in names if ".dist-info/" not in name}


def in_sdist(path: Path) -> set[str]:
    """The files in an sdist."""
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def main(folder: Path) -> int:
    """Compares the wheel and the sdist in a folder with what git tracks; the exit status."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    wanted, found, source = tracked(), in_wheel(wheel), in_sdist(sdist)
    wrong = {
        f"{wheel.name} lacks": wanted - found,
        f"{wheel.name} holds": found - wanted,
        f"{sdist.name} lacks": (wanted | set(ALONGSIDE)) - source,
        f"{sdist.name} holds": {name for name in source if name.startswith(("tests/", "results/", "build/"))},
    }
    for what, names in wrong.items():
        for name in sorted(names):
            print(f"{what} {name}", file=sys.stderr)
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
