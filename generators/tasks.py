"""Downstream tasks: labels of sentences, and the best accuracy anyone could reach who reads the words.

A task that is a function of the words alone has Bayes accuracy 1. A task that asks for a latent variable z has

    Bayes accuracy = E_x max_z p(z | x).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..estimate import Estimate
from .sentences import Sentences


def latent(sentences: Sentences, name: str) -> Tensor:
    """A latent variable as sampled. Raises InputError where the sentences were sampled without."""
    if name not in sentences.latents:
        raise InputError(f"the sentences have no latent '{name}', expected sampled ones; sample with latents=True")
    return sentences.latents[name]


def checked_positions(positions: Sequence[int] | None, last: int) -> tuple[int, ...] | None:
    """The positions as a tuple; None stays None. Raises InputError but for different whole numbers from 1 to last."""
    if positions is None:
        return None
    for position in positions:
        if type(position) is not int or not 1 <= position <= last:
            raise InputError(f"task_positions has {position!r}, expected whole numbers from 1 to {last}; correct it")
    if len(set(positions)) != len(positions):
        raise InputError(f"task_positions is {list(positions)}, expected different numbers; name each once")
    return tuple(positions)


class Sampler(Protocol):
    """What a task asks of a language: sentences, and where they lie."""

    @property
    def device(self) -> torch.device:
        """Where the sentences are drawn."""

    def sample(self, num_sentences: int, generator: torch.Generator) -> Sentences:
        """num_sentences independent sentences, with their latent variables."""


class Task(ABC):
    """name; classes: the label strings, so that label c means classes[c]."""

    name: str
    classes: tuple[str, ...]
    own_inputs = False
    """Whether `inputs` are no sample of the language: its conditionals and corpora then say nothing of this task."""

    def inputs(self, language: Sampler, num_sentences: int, generator: torch.Generator) -> Sentences:
        """num_sentences independent sentences for probes to learn and be tested on: the language's, or own_inputs."""
        return language.sample(num_sentences, generator)

    @abstractmethod
    def labels(self, sentences: Sentences) -> Tensor:
        """Labels [n] int64. Raises InputError where they need latents that the sentences lack."""

    @abstractmethod
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        """The accuracy of the best classifier that reads the words, by exact posteriors over sampled inputs."""


class HasTasks(Protocol):
    """A language with its tasks by name."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """name -> task."""


def find_task(language: HasTasks, name: str) -> Task:
    """The language's task of this name. Raises InputError, naming the nearest."""
    if name not in language.tasks:
        raise unknown("task", name, language.tasks)
    return language.tasks[name]
