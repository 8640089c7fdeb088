"""Files are whole or absent: half-written lines, many writers at once, and writing that fails."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from satlab.errors import InputError
from satlab.system.disk import append_lines, publish, read_lines, write_atomic

WRITER = """
import sys, time, pathlib
from satlab.errors import InputError
from satlab.system.disk import append_lines
folder, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
(folder / f"ready-{number}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for k in range(30):
    text = "x" * (97 * k % 400)
    append_lines(folder / "rows.jsonl", [{"writer": number, "k": k, "i": i, "text": text} for i in range(3)])
"""


def test_rows_come_back_in_order_with_their_types(tmp_path):
    path = tmp_path / "rows.jsonl"
    first = [{"a": 1, "b": 0.1 + 0.2, "c": None}, {"text": "line\nbreak \r \u2028 \u0085 ü"}]
    append_lines(path, first)
    append_lines(path, iter([{"d": [1, {"e": True}]}]))
    assert read_lines(path) == [*first, {"d": [1, {"e": True}]}]
    assert path.read_bytes().count(b"\n") == 3


def test_no_file_has_no_rows_and_an_empty_one_neither(tmp_path):
    assert read_lines(tmp_path / "none.jsonl") == []
    append_lines(tmp_path / "empty.jsonl", [])
    assert read_lines(tmp_path / "empty.jsonl") == []
    assert (tmp_path / "empty.jsonl").read_bytes() == b""


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_half_written_last_line_is_cut_off(tmp_path, cut):
    path, line = tmp_path / "rows.jsonl", b'{"a": "\xc3\xbc"}'
    assert len(line) == 11
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n' + line[:cut])
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
    append_lines(path, [{"a": 3}])
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n{"a": 3}\n'


def test_a_file_with_nothing_but_a_half_written_line_starts_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1')
    assert read_lines(path) == []
    append_lines(path, [{"b": 2}])
    assert path.read_bytes() == b'{"b": 2}\n'


def test_a_row_that_is_no_json_adds_nothing(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_lines(path, [{"a": 1}])
    with pytest.raises(TypeError):
        append_lines(path, [{"a": 2}, {"a": object()}])
    assert path.read_bytes() == b'{"a": 1}\n'


def test_processes_that_append_at_once_lose_and_mix_nothing(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"writer": -1}\n{"writer": -2')
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number)]) for number in range(4)]
    while len(list(tmp_path.glob("ready-*"))) < 4 and all(writer.poll() is None for writer in writers):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    seen = 0
    while any(writer.poll() is None for writer in writers):
        if path.stat().st_size > 1000:
            rows = read_lines(path)
            assert len(rows) >= seen
            seen = len(rows)
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows.pop(0) == {"writer": -1}
    assert len(rows) == 4 * 30 * 3
    for number in range(4):
        mine = [(row["k"], row["i"]) for row in rows if row["writer"] == number]
        assert mine == [(k, i) for k in range(30) for i in range(3)]
    assert all(len(row["text"]) == 97 * row["k"] % 400 for row in rows)
    assert all(len({(r["writer"], r["k"]) for r in rows[j : j + 3]}) == 1 for j in range(0, len(rows), 3))


def test_a_line_that_is_completed_while_one_reads_is_read_whole_or_not_at_all(tmp_path, monkeypatch):
    path, read = tmp_path / "rows.jsonl", Path.read_bytes
    path.write_bytes(b'{"a": 1}\n{"a": ')

    def read_before_the_other_appends(self):
        content = read(self)
        path.write_bytes(b'{"a": 1}\n{"a": 22}\n{"a": 333}\n')
        return content

    monkeypatch.setattr(Path, "read_bytes", read_before_the_other_appends)
    assert read_lines(path) in ([{"a": 1}], [{"a": 1}, {"a": 22}, {"a": 333}])


@pytest.mark.parametrize("content", ["text ü\n", b"\x00\xff bytes", ""])
def test_writing_replaces_the_whole_content_and_leaves_nothing_else(tmp_path, content):
    path = tmp_path / "file.yaml"
    path.write_text("a longer content that was there before")
    write_atomic(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_old_content_stays_where_writing_fails(tmp_path, monkeypatch, function):
    path = tmp_path / "config.yaml"
    write_atomic(path, "old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, "new")
    assert path.read_text() == "old"
    write_atomic(path, "newer")
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_old_content_stays_where_the_text_cannot_be_encoded(tmp_path):
    path = tmp_path / "config.yaml"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "new \ud800")
    assert path.read_text() == "old"


def test_old_content_stays_where_the_disk_really_is_full(tmp_path):
    path = tmp_path / "config.yaml"
    write_atomic(path, "old")
    code = (
        "import pathlib, resource, sys; from satlab.system.disk import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_atomic(pathlib.Path(sys.argv[1]), 'x' * 5000)\n"
        "except OSError:\n    sys.exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 3
    assert path.read_text() == "old"


def test_a_killed_writer_never_leaves_a_mixture(tmp_path):
    path = tmp_path / "config.yaml"
    write_atomic(path, "0" * 100_000)
    code = (
        "import itertools, pathlib, sys; from satlab.system.disk import write_atomic\n"
        "print('go', flush=True)\n"
        "for k in itertools.cycle(range(10)):\n    write_atomic(pathlib.Path(sys.argv[1]), str(k) * 100_000)"
    )
    for delay in (0.01, 0.033, 0.057):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        content = path.read_text()
        assert len(content) == 100_000
        assert len(set(content)) == 1


def test_content_is_on_the_disk_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace

    def recorded_fsync(handle):
        events.append(("fsync", os.fstat(handle).st_ino))
        fsync(handle)

    def recorded_replace(source, target):
        events.append(("replace", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    partial, path = tmp_path / ".partial", tmp_path / "file"
    partial.write_text("x")
    inode = partial.stat().st_ino
    publish(partial, path)
    assert events == [("fsync", inode), ("replace", inode), ("fsync", tmp_path.stat().st_ino)]


def listen_at(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


MAKERS = {"a pipe": os.mkfifo, "a socket": listen_at, "a directory": os.mkdir}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_no_file_is_never_replaced(kind, linked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place, link = Path("place"), Path("link")
    MAKERS[kind](place)
    link.symlink_to(place)
    before = place.stat()
    with pytest.raises(InputError, match=f"^{link if linked else place}: {kind}, expected a file or a new name"):
        write_atomic(link if linked else place, "text")
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match=kind):
        publish(tmp_path / "text", place)
    assert os.path.samestat(before, place.stat())
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "place", "text"]


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
def test_a_device_is_never_replaced(kind, tmp_path, monkeypatch):
    """The device is a file whose status is told otherwise: no test touches a real one."""
    place, told = tmp_path / "null", os.stat
    place.write_text("as it was")

    def status(path, **options):
        found = told(path, **options)
        return os.stat_result((stat.S_IFMT(kind) | 0o666, *found[1:])) if Path(path) == place else found

    monkeypatch.setattr(os, "stat", status)
    for call in (lambda: write_atomic(place, "text"), lambda: publish(tmp_path / "other", place)):
        with pytest.raises(InputError, match="null: a device, expected a file or a new name; choose another place"):
            call()
    assert place.read_text() == "as it was"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_the_file_that_it_leads_to_is_written(there, tmp_path):
    target, link = tmp_path / "far" / "file", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    (tmp_path / "between").symlink_to(target)
    link.symlink_to("between")
    write_atomic(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["between", "far", "file", "link"]


def test_a_link_in_a_circle_and_one_into_no_directory_are_left_alone(tmp_path):
    for name, target in (("circle", "circle"), ("nowhere", "gone/file")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(OSError, match=name if name == "circle" else "gone"):
            write_atomic(tmp_path / name, "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle", "nowhere"]
