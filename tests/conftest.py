"""Shared by all tests: one thread, so that run times and rounding do not depend on the machine, and a recorder."""

import signal

import pytest
import torch
from support.ray_cluster import cluster

__all__ = ["cluster"]

torch.set_num_threads(1)
# A shell that starts the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Recorder:
    """The language, with every sample that is drawn from it kept."""

    def __init__(self, language):
        self.language, self.drawn = language, []

    def __getattr__(self, name):
        return getattr(self.language, name)

    def sample(self, *arguments, **options):
        self.drawn.append(self.language.sample(*arguments, **options))
        return self.drawn[-1]


@pytest.fixture
def record():
    """record(language).drawn: the samples drawn from it since."""
    return Recorder
