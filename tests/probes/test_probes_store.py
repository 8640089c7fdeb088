"""Features in memory and on disk: the same rows whatever the order, nothing left behind, a full disk in one line."""

import errno
import os
from pathlib import Path

import pytest
import torch
from support.words import generator

from satlab.errors import InputError
from satlab.probes import feature_store as store
from satlab.probes.feature_store import Features, FeatureStorage


def filled(x, storage=None, piece=7):
    features = Features(len(x), storage)
    for part in x.split(piece):
        features.append(part)
    return features


def table(n=50, d=6, dtype=torch.float32):
    return torch.randn(n, d, generator=generator(0), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("size", [1, 7, 50, 64])
def test_rows_come_in_the_order_that_is_asked_for(tmp_path, dtype, on_disk, size):
    x = table(dtype=dtype)
    features = filled(x, FeatureStorage(str(tmp_path), 0) if on_disk else None)
    assert (features.count, features.width, features.dtype) == (50, 6, dtype)
    for order in (
        torch.randperm(50, generator=generator(1)),
        torch.arange(50),
        torch.arange(3, 20),
        torch.tensor([4, 4]),
    ):
        parts = [part.clone() for part in features.batches(order, size)]
        assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
        assert torch.equal(torch.cat(parts), x[order])


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_pass_in_order_covers_every_row_once(tmp_path, on_disk, monkeypatch):
    monkeypatch.setattr(store, "PASS_BYTES", 9 * 24)
    x = table()
    features = filled(x, FeatureStorage(str(tmp_path), 0) if on_disk else None)
    for start, stop in ((0, None), (0, 31), (31, None)):
        seen = []
        for rows, part in features.in_order(stop, start):
            assert torch.equal(part, x[rows])
            assert len(part) <= 9
            seen += range(rows.start, rows.stop)
        assert seen == list(range(start, 50 if stop is None else stop))


def test_the_file_has_no_name_and_is_gone_in_the_end(tmp_path):
    features = filled(table(), FeatureStorage(str(tmp_path), 0))
    assert os.listdir(tmp_path) == []
    number = features.file.fileno()
    assert os.fstat(number).st_size == 50 * 6 * 4
    list(features.batches(torch.arange(50), 10))
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    del features
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def resident():
    """Megabytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_the_process_stays_small_however_much_is_read(tmp_path, monkeypatch):
    """A file of 80 MB read in order, by a process that lets go of 8 MB at a time."""
    monkeypatch.setattr(store, "MAPPED", 8 * 2**20)
    monkeypatch.setattr(store, "PASS_BYTES", 2**20)
    features = filled(torch.ones(20_000, 1000), FeatureStorage(str(tmp_path), 0), 1000)
    begin, most = resident(), 0.0
    for _, part in features.in_order():
        assert float(part.sum()) == part.numel()
        most = max(most, resident())
    assert most - begin < 30


def test_what_fits_in_memory_needs_no_file(tmp_path):
    storage = FeatureStorage(str(tmp_path), 1000)
    assert not storage.needs_file(1000)
    assert storage.needs_file(1001)


def test_too_little_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(
        store.shutil, "disk_usage", lambda place: os.terminal_size((0, 0)) and type("", (), {"free": 9})
    )
    with pytest.raises(InputError, match=r"0.0 GB free, expected 5.0 GB for the features; give a cache") as error:
        FeatureStorage(str(tmp_path), 10).needs_file(5_000_000_000)
    assert "\n" not in str(error.value)


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        FeatureStorage(str(tmp_path / "nowhere"))


def test_a_disk_that_fills_up_names_the_directory(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "write", full)
    with pytest.raises(OSError, match="No space left") as error:
        filled(table(), FeatureStorage(str(tmp_path), 0))
    assert error.value.filename == str(tmp_path)


def test_a_write_cut_short_is_gone_on_with(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(store.os, "write", lambda file, view: write(file, view[:5]))
    x = table()
    features = filled(x, FeatureStorage(str(tmp_path), 0))
    order = torch.randperm(50, generator=generator(1))
    assert torch.equal(torch.cat([part.clone() for part in features.batches(order, 9)]), x[order])
