"""Downstream tasks: labels of sentences, and the best accuracy that any classifier of the words can reach.

    Bayes accuracy = E_x max_c p(c | x),

which is 1 if the label is a function of the words. It can be less if the label is a latent variable.

A task is found by its name. The entries of `task_kinds` are kinds of tasks: for a language, a kind yields the tasks
that the language supports. A name may contain the settings of its kind, as in "state:position=7".
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import InputError, a_text, unknown
from ..estimate import Estimate
from ..registry import Registry, settings_of
from ..spec import parse_spec, spec_of, split_spec
from .named import as_kind
from .sentences import Sentences

L_contra = TypeVar("L_contra", contravariant=True)
"""The class of languages that a kind of tasks applies to."""


def latent(sentences: Sentences, name: str) -> Tensor:
    """A latent variable of the sentences.

    Args:
        sentences: n sentences.
        name: the name of the latent variable.

    Returns:
        Its sampled values [n, ...].

    Raises:
        InputError: for sentences that were sampled without it.
    """
    if name not in sentences.latents:
        raise InputError(
            f"the sentences have no latent '{name}', expected sampled sentences; sample them with latents=True"
        )
    return sentences.latents[name]


def checked_positions(positions: Sequence[int] | None, last: int) -> tuple[int, ...] | None:
    """The positions as a tuple; None stays None.

    Args:
        positions: the positions, counted from 1.
        last: the largest position allowed.

    Returns:
        The positions, in the given order.

    Raises:
        InputError: for anything but distinct integers from 1 to last.
    """
    if positions is None:
        return None
    for position in positions:
        if type(position) is not int or not 1 <= position <= last:
            raise InputError(f"task_positions has {position!r}, expected integers from 1 to {last}; correct it")
    if len(set(positions)) != len(positions):
        raise InputError(f"task_positions is {list(positions)}, expected distinct numbers; give each once")
    return tuple(positions)


class Sampler(Protocol):
    """The part of a language that a task needs: sentences, and their device."""

    @property
    def device(self) -> torch.device:
        """The device of the sentences."""

    def sample(self, num_sentences: int, generator: torch.Generator) -> Sentences:
        """num_sentences independent sentences, with their latent variables."""


class Task(ABC):
    """A label for each sentence.

    Attributes:
        name: the name of the task in commands, studies and result rows.
        classes: names of the labels; label c means classes[c].
        own_inputs: whether `inputs` draws the task's own sentences instead of the language's. The language's
            conditionals and corpora do not cover such sentences.
    """

    name: str
    classes: tuple[str, ...]
    own_inputs = False

    def inputs(self, language: Sampler, num_sentences: int, generator: torch.Generator) -> Sentences:
        """num_sentences independent sentences for training and testing probes; here, the language's own."""
        return language.sample(num_sentences, generator)

    @abstractmethod
    def labels(self, sentences: Sentences) -> Tensor:
        """Labels [n] int64.

        Raises:
            InputError: if the label is a latent variable that the sentences lack.
        """

    @abstractmethod
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        """E_x max_c p(c | x) from the exact posteriors of num_sentences sampled inputs."""


class TaskKind(ABC, Generic[L_contra]):
    """A kind of task. An entry is a frozen dataclass whose fields are its settings.

    If all settings of a kind have defaults, `Language.tasks` lists its tasks for every language that supports it. A
    task that can be requested with settings uses `self.name` as its name.

    Attributes:
        needs: the class of languages that the kind applies to; other languages have no such task.
        order: the sort key of kinds; kinds with equal keys are sorted by name.
    """

    needs: ClassVar[type] = object
    order: ClassVar[int] = 0

    @property
    def name(self) -> str:
        """NAME or NAME:setting=value,... with the settings that differ from their defaults; see `spec_of`."""
        return spec_of(task_kinds.name_of(self), self)

    @abstractmethod
    def tasks(self, language: L_contra) -> Iterable[Task]:
        """The tasks of this kind that a language supports; none if the kind does not apply.

        Args:
            language: an instance of `needs`.

        Returns:
            Tasks with different names.

        Raises:
            InputError: for settings that do not fit the language. `Language.tasks` then lists no task of this kind.
        """


task_kinds: Registry[TaskKind[Any]] = Registry(
    "task", f"{__package__}.pcfg", f"{__package__}.hmm", f"{__package__}.causal", f"{__package__}.families"
)
"""name -> kind of task. A built-in kind is a class in any module of these folders."""


def listed_tasks(language: object, built_in: bool) -> dict[str, Task]:
    """The tasks that a language supports with the default settings of each kind.

    Args:
        language: any language.
        built_in: True for satlab's own kinds, False for those of plug-ins.

    Returns:
        name -> task.
    """
    found: dict[str, Task] = {}
    kinds = [kind for name, kind in task_kinds.items() if task_kinds.is_built_in(name) == built_in]
    for kind in sorted(kinds, key=lambda kind: kind.order):
        if not any(field.default is MISSING and field.default_factory is MISSING for field in settings_of(kind)):
            try:
                for task in _tasks_of(kind(), language):
                    found[task.name] = task
            except InputError:
                continue
    return found


def _tasks_of(kind: TaskKind[Any], language: object) -> list[Task]:
    return list(kind.tasks(language)) if isinstance(language, kind.needs) else []


class HasTasks(Protocol):
    """A language with its tasks by name."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """name -> task."""


def find_task(language: HasTasks, name: str) -> Task:
    """The task of this name.

    Args:
        language: the language of the task, or its name.
        name: a key of `language.tasks`, or the NAME:setting=value,... of a kind of task.

    Returns:
        The task. Its own name is the canonical form of `name`.

    Raises:
        InputError: for a name, setting or value that does not exist, and for a kind that does not apply to the language
            or stands for several of its tasks.
    """
    a_text("task", name)
    if isinstance(language, (str, Path)) or not hasattr(language, "tasks"):
        language = as_kind("language", language, {})
    if name in language.tasks:
        return language.tasks[name]
    if ":" not in name and name not in task_kinds:
        if not language.tasks:
            kinds = [key for key, kind in task_kinds.items() if isinstance(language, kind.needs)]
            raise InputError(
                f"unknown task '{name}': this language has no default tasks, expected a kind with settings; write "
                f"NAME:setting=value with one of {', '.join(kinds) or 'no kind'}"
            )
        raise InputError(str(unknown("task", name, language.tasks)))
    kind = parse_spec(name, task_kinds)
    try:
        tasks = _tasks_of(kind, language)
    except InputError as error:
        raise InputError(f"task '{name}': {error}") from None
    for task in tasks:
        if task.name == kind.name:
            return task
    if tasks:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"task '{name}' names several tasks of this language, expected one; choose from {names}")
    raise InputError(f"this language has no task '{name}', expected one of: {', '.join(language.tasks) or 'none here'}")


def canonical_name(name: str) -> str:
    """The name of a task, its settings in canonical form. Unknown names and names without settings are unchanged."""
    try:
        return spec_of(split_spec(name)[0], parse_spec(name, task_kinds)) if ":" in name else name
    except InputError:
        return name
