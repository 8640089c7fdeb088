"""Arrays of an .npz file: sound ones of any kind are read, all others refused in one line that names the array."""

import io
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from satlab.errors import InputError
from satlab.generators import HMM, load_language
from satlab.lab.cli import main as cli
from satlab.system import memory

INITIAL = np.array([0.25, 0.75])
TRANSITION = np.array([[0.5, 0.5], [0.125, 0.875]])
EMISSION = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
TABLES = {"initial": INITIAL, "transition": TRANSITION, "emission": EMISSION}


def npy(array, **header):
    """The bytes of an .npy file; header replaces what it says of the array."""
    file = io.BytesIO()
    if not header:
        np.lib.format.write_array(file, np.asanyarray(array))
        return file.getvalue()
    said = np.lib.format.header_data_from_array_1_0(array) | header
    np.lib.format.write_array_header_1_0(file, said)
    return file.getvalue() + array.tobytes()


def archive(path, compression=zipfile.ZIP_STORED, **members):
    """An .npz file of the three tables and more; bytes are put there as they are, None leaves a member out."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in (TABLES | members).items():
            if content is not None:
                file.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return path


def read(path):
    """The language, and whether a warning was given."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        language = load_language(path)
    return language, [str(warning.message) for warning in said]


def is_chain(language):
    pairs = ((language.initial, INITIAL), (language.blocks[0], TRANSITION), (language.emission, EMISSION))
    return all(torch.equal(ours, torch.from_numpy(theirs)) for ours, theirs in pairs)


DTYPES = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g", np.dtype("g").newbyteorder("S")]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_floats_of_every_width_byte_order_and_layout(tmp_path, dtype, order):
    tables = {name: np.asarray(table, dtype=dtype, order=order) for name, table in TABLES.items()}
    language, said = read(archive(tmp_path / "chain.npz", **tables))
    assert is_chain(language)
    assert said == []


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i2", ">i2", ">u4", "<i8", ">i8", ">u8"])
def test_integers_and_booleans_are_certainties(tmp_path, dtype):
    sure = {"initial": np.eye(2)[0], "transition": np.eye(2), "emission": np.eye(2)}
    tables = {name: table.astype(dtype) for name, table in sure.items()}
    language, said = read(archive(tmp_path / "chain.npz", **tables))
    assert language.initial.tolist() == [1, 0]
    assert torch.equal(language.transition, torch.eye(2, dtype=torch.float64))
    assert said == []


@pytest.mark.skipif(np.dtype("g").itemsize <= 8, reason="no wider float here")
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_a_long_double_loses_is_said_once(tmp_path, order):
    third = 1 / np.longdouble(3)
    rows = np.array([[third, 1 - third, 0], [0, 1, 0]], dtype=np.dtype("g").newbyteorder(order))
    language, said = read(archive(tmp_path / "chain.npz", emission=rows))
    assert language.emission[0, 0] == 1 / 3
    assert len(said) == 1
    assert re.search(r"'emission' is float\d+: 2 of 6 numbers were rounded to float64", said[0])


WORDS = {
    "narrow": (np.array(["a", "b", "c"]), ["a", "b", "c"]),
    "wide": (np.array(["a", "b" * 300, "\U0001f600"]), ["a", "b" * 300, "\U0001f600"]),
    "big-endian": (np.array(["a", "bb", "\u0639"], dtype=">U9"), ["a", "bb", "\u0639"]),
    "utf-8": (np.array([b"a", b"bb", "\u00e9".encode()]), ["a", "bb", "\u00e9"]),
    "numbers": (np.array([7, 8, 9], dtype=">u2"), ["7", "8", "9"]),
    "strided": (np.array(["a", "x", "b", "x", "c", "x"])[::2], ["a", "b", "c"]),
}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_words_of_every_width_in_every_compression(tmp_path, name, compression):
    given_words, words = WORDS[name]
    language, _ = read(archive(tmp_path / "chain.npz", compression, words=given_words))
    assert is_chain(language)
    assert list(language.words) == words


def in_zip(path, change):
    """The file with some of its bytes changed in place."""
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))
    return path


def encrypted(path):
    def change(content):
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            content[content.index(mark) + at] |= 1

    return in_zip(archive(path), change)


def of_method(method):
    def make(path):
        def change(content):
            for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
                struct.pack_into("<H", content, content.index(mark) + at, method)

        return in_zip(archive(path), change)

    return make


def broken(compression):
    def make(path):
        # As long as random numbers, so that a flipped bit is one of the compressed data.
        rows = np.random.default_rng(0).dirichlet(np.ones(500), 2)
        archive(path, compression, emission=rows)
        with zipfile.ZipFile(path) as file:
            at = file.getinfo("emission.npy").header_offset + 2000

        def change(content):
            content[at] ^= 0xFF
            content[at + 1] ^= 0xFF

        return in_zip(path, change)

    return make


def twice(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("initial.npy", npy(INITIAL))
    return path


def no_array(path):
    archive(path, initial=None)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("initial", b"1 0")
    return path


def with_member(name):
    def make(path):
        archive(path)
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(name, b"x")
        return path

    return make


def cut(part):
    def make(path):
        content = archive(path).read_bytes()
        path.write_bytes(content[: int(len(content) * part)])
        return path

    return make


def tables(**members):
    return lambda path: archive(path, **members)


def in_words(code):
    """Three words, the last a character of this number, as they are on disk."""
    start = npy(np.array(["a", "b", "c"], dtype="<U1"))
    return start[:-4] + struct.pack("<I", code)


HUGE = {"shape": (10**7, 10**7)}
WRONG = {
    "complex": (tables(initial=INITIAL.astype(complex)), "'initial' holds complex numbers"),
    "objects": (
        tables(
            emission=b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117)
            + b"\n."
        ),
        "'emission' holds Python objects",
    ),
    "texts": (tables(initial=np.array(["0.25", "0.75"])), "'initial' holds texts"),
    "dates": (tables(initial=np.array([1, 2], dtype="M8[D]")), "'initial' holds dates"),
    "records": (tables(initial=np.zeros(2, dtype=[("a", float)])), "'initial' holds records"),
    "words as floats": (tables(words=np.ones(3)), "'words' has shape .* of float64"),
    "words as booleans": (tables(words=np.ones(3, bool)), "'words' has shape .* of bool"),
    "words not in UTF-8": (tables(words=np.array([b"a", b"b", b"\xe9"])), "'words' holds invalid Unicode"),
    "words beyond Unicode": (tables(words=in_words(2**30)), "'words' holds invalid Unicode"),
    "words with half a surrogate": (tables(words=in_words(0xD800)), "surrogate"),
    "words in a table": (tables(words=np.array([["a", "b", "c"]])), "'words' has shape"),
    "a word twice": (tables(words=np.array(["a", "b", "a"])), "'a' is given twice"),
    "length as a float": (tables(length=np.array(3.0)), "'length' is 3.0"),
    "two lengths": (tables(length=np.array([3, 4])), r"'length' is \[3, 4\]"),
    "missing": (tables(transition=None), "has no array 'transition'"),
    "unknown": (tables(emision=INITIAL), "unknown array 'emision': did you mean 'emission'"),
    "both names": (tables(startprob_=INITIAL), "holds both 'initial' and hmmlearn's 'startprob'"),
    "same name with an underscore": (tables(initial_=INITIAL), "holds the array 'initial' twice"),
    "twice": (twice, "holds the array 'initial' twice"),
    "no array": (no_array, "'initial' is not an array"),
    "another file": (with_member("notes.txt"), "unknown array 'notes.txt'"),
    "a folder": (with_member("folder/"), "unknown array 'folder/'"),
    "encrypted": (encrypted, "'initial' is encrypted"),
    "Deflate64": (of_method(9), "'initial' cannot be unpacked"),
    "unknown method": (of_method(77), "'initial' cannot be unpacked"),
    "broken": (broken(zipfile.ZIP_STORED), "'emission' is damaged"),
    "broken deflate": (broken(zipfile.ZIP_DEFLATED), "'emission' is damaged"),
    "broken bzip2": (broken(zipfile.ZIP_BZIP2), "'emission' is damaged"),
    "broken lzma": (broken(zipfile.ZIP_LZMA), "'emission' is damaged"),
    "deflate that is none": (of_method(8), "'initial' is damaged"),
    "larger than memory": (tables(emission=npy(EMISSION, **HUGE)), "'emission' is damaged"),
    "shape beyond its data": (tables(emission=npy(EMISSION, shape=(2, 4))), "'emission' is damaged"),
    "shape short of its data": (tables(emission=npy(EMISSION, shape=(2, 2))), "'emission' is damaged"),
    "negative shape": (tables(emission=npy(EMISSION, shape=(-2, 3))), "'emission' is damaged"),
    "shape that overflows": (tables(emission=npy(EMISSION, shape=(10**30, 3))), "'emission' is damaged"),
    "no numpy": (tables(emission=b"hello"), "'emission' is damaged"),
    "empty member": (tables(emission=b""), "'emission' is damaged"),
    "header of code": (tables(emission=b"\x93NUMPY\x01\x00\x14\x00__import__('os')   \n"), "'emission' is damaged"),
    "header cut": (tables(emission=npy(EMISSION)[:40]), "'emission' is damaged"),
    "later version": (tables(emission=b"\x93NUMPY\x09\x00" + npy(EMISSION)[8:]), "'emission' is damaged"),
    "half a file": (cut(0.5), "not an npz archive"),
    "nine tenths": (cut(0.9), "not an npz archive"),
    "no file": (cut(0), "not an npz archive"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_that_names_the_file_and_the_array(tmp_path, capsys, name):
    make, match = WRONG[name]
    path = make(tmp_path / "chain.npz")
    with pytest.raises(InputError, match=match) as caught:
        load_language(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < len(str(path)) + 400
    assert cli.run(["floor", str(path)]) == 2
    assert capsys.readouterr().err == f"satlab: {caught.value}\n"


def test_an_archive_that_unpacks_to_more_than_memory_is_refused_unread(tmp_path, monkeypatch):
    path = archive(tmp_path / "chain.npz", zipfile.ZIP_DEFLATED, emission=np.zeros((2, 10**6)))
    assert path.stat().st_size < 10**5
    monkeypatch.setattr(memory, "machine_memory", lambda: 2**20)
    with pytest.raises(InputError, match=r"chain\.npz: its arrays: needs at least 15\.3 MiB of memory"):
        load_language(path)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), st.floats(0, 1, exclude_max=True), st.integers(0, 7)
)
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, compression, place, bit):
    path = archive(tmp_path / "chain.npz", compression, length=np.array(3), words=np.array(["a", "b", "c"]))
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(bytes(content))
    try:
        language = load_language(path)
    except InputError as error:
        language, said = None, str(error)
    if language is None:
        assert said.startswith(f"{path}: ")
    else:
        assert is_chain(language)


def test_a_file_that_is_saved_is_the_same_as_ever(tmp_path):
    path = HMM(INITIAL, TRANSITION, EMISSION, 3, ["a", "b", "c"]).save(str(tmp_path / "chain"))
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == [f"{name}.npy" for name in ("initial", "transition", "emission", "length", "words")]
    assert is_chain(load_language(path))
