"""Errors of other libraries, provoked: where a library changes its words, a test of this file fails."""

import errno
import os
import sys
import threading
from datetime import timedelta

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed as dist

from satlab.system.library_words import error_number, is_lost_peer, is_no_file_name, is_no_memory


def raised(function, *arguments):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what is raised is the question
        function(*arguments)
    return caught.value


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        *((torch.empty, (2**power,)) for power in (50, 62, 64)),
        *((np.empty, (2**power,)) for power in (50, 62, 64)),
        (torch.zeros, (2**40, 2**40)),
        (np.zeros, ((2**40, 2**40),)),
    ],
)
def test_there_is_no_memory_for_a_tensor_or_an_array(make, sizes):
    assert is_no_memory(raised(make, *sizes))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.ENOMEM, ""), torch.OutOfMemoryError(), RuntimeError("CUDA error: out of memory")],
)
def test_what_says_by_its_type_that_there_is_no_memory(error):
    assert is_no_memory(error)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "not enough memory"), RuntimeError("a defect"), KeyError()])
def test_other_errors_are_not_about_memory(error):
    assert not is_no_memory(error)


def test_no_file_can_have_such_a_path(tmp_path):
    assert is_no_file_name(raised(os.stat, "a\0b"))
    assert not is_no_file_name(ValueError("a defect"))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    error = raised(lambda: loop.resolve(strict=True))
    assert is_no_file_name(error) if sys.version_info < (3, 13) else error.errno == errno.ELOOP


@pytest.mark.parametrize(("path", "number"), [("missing/file", errno.ENOENT), (".", errno.EISDIR)])
def test_safetensors_gives_the_number_of_the_systems_error(path, number, tmp_path):
    error = raised(safetensors.torch.save_file, {"a": torch.zeros(3)}, tmp_path / path)
    assert isinstance(error, safetensors.SafetensorError)
    assert error_number(error) == number
    assert error_number(safetensors.SafetensorError("header too large")) == errno.EIO


def test_gloo_says_that_another_process_is_gone():
    store, groups = dist.HashStore(), {}

    def join(rank):
        groups[rank] = dist.ProcessGroupGloo(store, rank, 2, timedelta(seconds=60))

    threads = [threading.Thread(target=join, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del groups[1]
    assert is_lost_peer(raised(lambda: groups[0].allreduce([torch.ones(3)]).wait()))
    assert not is_lost_peer(RuntimeError("a defect"))
    assert not is_lost_peer(NotImplementedError("gloo"))
