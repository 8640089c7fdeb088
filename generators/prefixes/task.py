"""Prefix tasks: labels of the words read so far, with their exact conditional distribution.

    eta_s(y) = P(y | x_1 .. x_t = s)

As for sentence tasks, the name of a task is NAME or NAME:setting=value,... of a kind in `prefix_tasks`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import MISSING
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ...errors import InputError, a_text, unknown
from ...registry import Registry, settings_of
from ...spec import parse_spec, spec_of
from ..latent.categorical import Categorical
from ..sentences import Batch

L_contra = TypeVar("L_contra", contravariant=True)


class PrefixTask(ABC):
    """A label of each prefix.

    Attributes:
        name: the name of the task in commands and result rows.
        classes: names of the labels; label c means classes[c].
    """

    name: str
    classes: tuple[str, ...]

    @abstractmethod
    def posteriors(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """P(label = c | x_1 .. x_t) for t = 0 .. T.

        Args:
            tokens: prefixes of sentences [n, T], as for `Language.next_word`.
            lengths: [n]; unless given, a prefix ends before its first pad_id.

        Returns:
            [n, T + 1, classes] float64; 0 beyond the end of a prefix, and for prefixes without a label.

        Raises:
            InputError: as `Language.next_word`.
        """

    def at(self, batch: Batch) -> Tensor:
        """P(label = c | prefix) [m, classes] for each prediction of a batch of masking "next"."""
        return self.posteriors(batch.inputs[:, 1:])[batch.rows, batch.positions]

    def positive(self, names: str | None) -> Tensor:
        """The classes that count as y = 1 if the label is reduced to two classes.

        Args:
            names: names of classes, separated by spaces. By default, the second of two classes, or the first half of
                more than two.

        Returns:
            [classes] bool.

        Raises:
            InputError: for an unknown class, and if all classes or none are positive.
        """
        known = len(self.classes)
        chosen = torch.zeros(known, dtype=torch.bool)
        if names is None:
            chosen[slice(1, 2) if known == 2 else slice(0, known // 2)] = True
            return chosen
        for name in a_text("positive", names).split():
            if name not in self.classes:
                raise InputError(str(unknown("class", name, self.classes)))
            chosen[self.classes.index(name)] = True
        if not 0 < int(chosen.sum()) < known:
            raise InputError(
                f"positive is '{names}', expected some, but not all, of the classes of '{self.name}'; correct it"
            )
        return chosen


def draw_labels(posterior: Tensor, generator: torch.Generator) -> Tensor:
    """Draws a label [m] for each prefix from its distribution P(y | s) [m, classes]."""
    rows = torch.arange(len(posterior), device=posterior.device)
    return Categorical.from_matrix(posterior).draw_column(rows, generator)


class PrefixTaskKind(ABC, Generic[L_contra]):
    """A kind of prefix task. An entry is a frozen dataclass whose fields are its settings.

    Attributes:
        needs: the class of languages that the kind applies to; other languages have no such task.
    """

    needs: ClassVar[type] = object

    @property
    def name(self) -> str:
        """NAME or NAME:setting=value,... with the settings that differ from their defaults; see `spec_of`."""
        return spec_of(prefix_tasks.name_of(self), self)

    @abstractmethod
    def tasks(self, language: L_contra) -> Iterable[PrefixTask]:
        """The tasks of this kind that a language supports; none if the kind does not apply.

        Args:
            language: an instance of `needs`.

        Returns:
            Tasks with different names.

        Raises:
            InputError: for settings that do not fit the language.
        """


prefix_tasks: Registry[PrefixTaskKind[Any]] = Registry("prefix task", __package__)
"""name -> kind of prefix task."""


def listed_prefix_tasks(language: object) -> dict[str, PrefixTask]:
    """name -> task, for the tasks that a language supports with the default settings of each kind."""

    def found() -> Iterator[PrefixTask]:
        for kind in prefix_tasks.values():
            required = any(one.default is MISSING and one.default_factory is MISSING for one in settings_of(kind))
            if not required and isinstance(language, kind.needs):
                try:
                    yield from kind().tasks(language)
                except InputError:
                    continue

    return {task.name: task for task in found()}


def find_prefix_task(language: object, name: str) -> PrefixTask:
    """The task of this name.

    Args:
        language: the language of the task.
        name: a key of `listed_prefix_tasks`, or the NAME:setting=value,... of a kind.

    Returns:
        The task.

    Raises:
        InputError: for a name, setting or value that does not exist, and for a kind that does not apply to the
            language.
    """
    listed = listed_prefix_tasks(language)
    if a_text("task", name) in listed:
        return listed[name]
    if ":" not in name and name not in prefix_tasks:
        raise InputError(str(unknown("prefix task", name, [*dict.fromkeys([*listed, *prefix_tasks])])))
    kind = parse_spec(name, prefix_tasks)
    try:
        tasks = list(kind.tasks(language)) if isinstance(language, kind.needs) else []
    except InputError as error:
        raise InputError(f"task '{name}': {error}") from None
    for task in tasks:
        if task.name == kind.name:
            return task
    known = ", ".join(task.name for task in tasks) or ", ".join(listed) or "none here"
    raise InputError(f"this language has no prefix task '{name}', expected one of: {known}; choose one of these")
