"""What people give commands by mistake: the shared list that every command of satlab is tried with."""

import codecs
import os

import numpy as np

NUMBERS = [
    *("0", "-1", "-0", "1.5", "nan", "inf", "-inf", "1e400", "9" * 30, "-" + "9" * 30, "1" * 5000, "0x3", "1,5", "ten"),
    *(
        " ",
        "3 3",
        "true",
        "null",
        "[1]",
        "[]",
        "{}",
        "{a: 1}",
        "'3'",
        "٣",
        "\uff13",
        "½",
        "3\n",
        "!!python/none",
        "[",
        "&a",
    ),
]

NAMES = [
    *(
        "nonsense",
        "-",
        "~",
        ".",
        "..",
        "null",
        "true",
        "3",
        "[1]",
        "{}",
        "{a: 1}",
        "[",
        "*a",
        "&a",
        "@x",
        "!x",
        "%x",
        "'",
    ),
    *(
        "n" * 300,
        "a\nb",
        "a\tb",
        "\x1b[31mred",
        "caf\u00e9",
        "cafe\u0301",
        "\u0645\u06cc\u200c\u062e",
        "\U0001f600",
        "\udcff",
    ),
    *(" ", "a b", "'a b'", '"', "\\", "$HOME", "a;b", "a:b", "a=b", "x" * 5000),
]

DEVICES = ("/dev/full", "/dev/null")

PLACES = [
    *(
        "missing",
        "missing/deeper",
        "file.txt",
        "file.txt/",
        "file.txt/inside",
        "empty",
        "empty/",
        "loop",
        "loop/inside",
    ),
    *("dangling", "other", "other/", *DEVICES, "/dev/null/inside", "n" * 300, "n/" * 3000, "pipe"),
    *("run", "run/", "run/.", "./run/../run", "link", "corpus", "corpus/", "study", "unfinished", "run/config.yaml"),
    *(
        "caf\u00e9",
        "\udcff",
        "\udcff/\udcff",
        "a\nb",
        "a b",
        " ",
        "-",
        "~",
        "http://127.0.0.1/x",
        "locked",
        "locked/inside",
    ),
]
"""Directories, files and what is neither; those that are there are made by `lay_out`."""

ODD_FILES = {
    "file.txt": b"mine\n",
    "empty.pcfg": b"",
    "nul.pcfg": b"\0" * 64,
    "latin1.pcfg": "S -> 'caf\u00e9' [1.0]\n".encode("latin-1"),
    "utf16.pcfg": "S -> 'a' [0.5] | 'b' [0.5]\n".encode("utf-16"),
    "bom.pcfg": codecs.BOM_UTF8 + b"S -> 'a' [0.5] | 'b' [0.5]\n",
    "crlf.pcfg": b"S -> 'a' [0.5]\r\nS -> 'b' [0.5]\r\n",
    "surrogate.pcfg": b"S -> '\xed\xb3\xbf' [1.0]\n",
    "long.pcfg": b"S -> '" + b"a" * 100_000 + b"' [1.0]\n",
    "empty.npz": b"",
    "text.npz": b"mine\n",
    "empty.yaml": b"",
    "nul.yaml": b"preset: demo\0hmm\n",
    "latin1.yaml": "preset: caf\u00e9\n".encode("latin-1"),
    "utf16.yaml": "preset: demo-hmm\n".encode("utf-16"),
    "list.yaml": b"[1, 2]\n",
    "date.yaml": b"preset: 2024-13-45\n",
    "nulname.yaml": b'file: "a\\0b.pcfg"\n',
    "numbers.yaml": b"1: 2\ntrue: 3\nnull: 4\n",
    "tag.yaml": b"!!python/object/apply:os.system ['true']\n",
    "deep.yaml": b"[" * 5000,
    "alias.yaml": b"preset: &a [*a]\n",
    "empty.mrg": b"",
    "open.mrg": b"(S (NP a)\n",
    "latin1.mrg": "(S (A caf\u00e9))\n".encode("latin-1"),
}
"""Name -> content: wrong or rare encodings, and what only looks like the kind of file that the name says."""

DTYPES = ["float16", "float32", ">f8", "<f8", "longdouble", "complex128", "int8", "uint64", "bool", "U3", "S3", "M8[s]"]
"""Of the arrays of an HMM's file."""


FILES = [*ODD_FILES, *(f"dtype{number}.npz" for number in range(len(DTYPES))), "folder.pcfg", "folder.yaml"]
"""All of them, and directories that are called like files."""


def lay_out(folder):
    """Makes the odd files, links and places in the folder."""
    for name, content in ODD_FILES.items():
        (folder / name).write_bytes(content)
    for number, dtype in enumerate(DTYPES):
        arrays = {"initial": np.ones(1), "transition": np.ones((1, 1)), "emission": np.array([[1.0, 0.0]])}
        with np.errstate(all="ignore"):
            np.savez(folder / f"dtype{number}.npz", **{name: array.astype(dtype) for name, array in arrays.items()})
    for name in ("empty", "other", "locked", "folder.pcfg", "folder.yaml"):
        (folder / name).mkdir()
    (folder / "other" / "notes.txt").write_text("mine\n")
    (folder / "locked").chmod(0o500)
    for name, target in {"loop": "loop", "dangling": "gone", "link": "run"}.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")


ERRORS = [
    *(RuntimeError("a defect"), ZeroDivisionError(), RecursionError("too deep"), AssertionError(), StopIteration()),
    *(
        KeyError("a\nb"),
        UnicodeEncodeError("ascii", "\udcff", 0, 1, "no"),
        ValueError("x" * 10_000),
        OSError("no number"),
    ),
    *(OSError(28, "No space left on device"), OSError(5, "Input/output error", "a\nb"), MemoryError(), TimeoutError()),
]
"""What may come out of any command."""
