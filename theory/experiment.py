"""The interface of an experiment on a theorem: its settings, its cells, and the panels of its figure.

A theorem is checked on a trained model. An experiment makes its own systems, small enough to compute exactly. It is a
frozen dataclass, registered under the name that `satlab experiment` takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ..registry import Registry

Row = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A plot of one column of the rows against another, with one line or set of points for each label.

    Args:
        x: column on the horizontal axis.
        y: column on the vertical axis; its standard error is the column `<y>_stderr`, if the rows have it.
        title: title of the panel.
        x_label: label of the horizontal axis, with its unit.
        y_label: label of the vertical axis, with its unit.
        logarithmic: which axes are logarithmic: "", "x", "y" or "xy".
        diagonal: whether to draw the line y = x.
        points: whether to draw points without joining them.
        only: show only labels that begin with one of these; all unless given.
        where: (column, value) pairs; a row with such a column is shown only if it has the value.
    """

    x: str
    y: str
    title: str
    x_label: str
    y_label: str
    logarithmic: str = ""
    diagonal: bool = False
    points: bool = False
    only: tuple[str, ...] = ()
    where: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Means:
    """Means over rows that agree in some columns, for a table of their own.

    Args:
        by: the columns in which the rows of a mean agree.
        of: the columns of which means are taken; `X_stderr` is the error of a column X, where the rows have it.
    """

    by: tuple[str, ...]
    of: tuple[str, ...]


class Experiment(ABC):
    """An experiment. Subclasses are frozen dataclasses whose fields are settings, checked at construction."""

    source: ClassVar[str]
    """The paper, and the number of the theorem or section."""

    panels: ClassVar[tuple[Panel, ...]]
    """The panels of its figure."""

    means: ClassVar[Means | None] = None
    """What its second table holds, if it has one."""

    def check(self) -> None:  # noqa: B027 - most experiments check their settings on construction
        """Makes the checks that are too slow for construction. Called before anything is written.

        Raises:
            InputError: if a cell would fail.
        """

    @abstractmethod
    def cells(self) -> tuple[str, ...]:
        """The names of its parts. Each is computed as a whole and only once."""

    @abstractmethod
    def rows(self, cell: str) -> Iterator[Row]:
        """The rows of a part: texts and numbers. The column `label` names the line or set of points in the figure.

        Args:
            cell: one of `cells`.
        """


experiments: Registry[Experiment] = Registry("experiment", "satlab.theory.experiments")
"""name -> experiment."""
