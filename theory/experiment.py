"""What an experiment on a theorem is here: settings, cells that are computed one by one, and panels that show the rows.

A theorem is checked on a trained model; an experiment makes its own systems, small enough to be computed exactly. It is
one file: a frozen dataclass registered under the name that `satlab experiment` takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ..registry import Registry

Row = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """Two columns of the rows against each other; a line or a kind of points for each label.

    Args:
        x: column on the horizontal axis.
        y: column on the vertical axis; `y_stderr` is its standard error, where the rows have it.
        title: above the panel.
        x_label: of the horizontal axis, with its unit.
        y_label: of the vertical axis, with its unit.
        logarithmic: which axes are logarithmic: "", "x", "y" or "xy".
        diagonal: whether the line y = x is drawn.
        points: whether points are left unjoined.
        only: labels that are shown begin with one of these; all unless given.
        where: (column, value) that a row must have, if it has the column.
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
    """An experiment. Subclasses are frozen dataclasses; their fields are their settings, checked on construction."""

    source: ClassVar[str]
    """Paper and number."""

    panels: ClassVar[tuple[Panel, ...]]
    """What its figure shows."""

    means: ClassVar[Means | None] = None
    """What its second table holds, if it has one."""

    def check(self) -> None:  # noqa: B027 - most experiments check their settings on construction
        """What is to be found wrong before anything is written, and takes more than a moment.

        Raises:
            InputError: where a cell would fail.
        """

    @abstractmethod
    def cells(self) -> tuple[str, ...]:
        """The names of its parts, each computed as a whole and not again."""

    @abstractmethod
    def rows(self, cell: str) -> Iterator[Row]:
        """The rows of a part: texts and numbers, among them `label`, the line or kind of points in the figure.

        Args:
            cell: one of `cells`.
        """


experiments: Registry[Experiment] = Registry("experiment", "satlab.theory.experiments")
"""name -> experiment."""
