"""Commands run in this process as a user types them: what they print, and what they refuse in one line."""

import json
import shlex
from typing import NamedTuple

from satlab.lab.cli import main as cli


class Said(NamedTuple):
    out: str
    err: str


def said_by(capsys, words, status=0):
    """What a command says that ends with this status; words: one line of a shell, or a list whose entries stand alone.

    What was said before is forgotten.
    """
    capsys.readouterr()
    found = cli.run(shlex.split(words) if isinstance(words, str) else [str(word) for word in words])
    said = Said(*capsys.readouterr())
    assert found == status, said
    return said


def check_one_line(said, *fragments, rows=0):
    """One line on stderr that has these fragments, after so many rows on stdout; the line."""
    assert said.err.startswith("satlab: ")
    assert (said.err.count("\n"), said.out.count("\n")) == (1, rows), said
    assert [fragment for fragment in fragments if fragment not in said.err] == [], said.err
    return said.err


def strict(text):
    """JSON as the standard has it: no NaN."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def contents(folder):
    """Name below the folder -> bytes, of all its files."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def listing(folder):
    """The same, with directories and links."""
    kinds = {str(p.relative_to(folder)): (p.is_symlink(), p.is_dir()) for p in folder.rglob("*")}
    return kinds, contents(folder)
