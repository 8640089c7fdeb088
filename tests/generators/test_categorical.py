"""Drawing from many categorical distributions: zero weights, frequencies, and the rows kept apart."""

import torch
from support.words import assert_frequencies, generator

from satlab.generators.latent.categorical import Categorical


def test_frequencies_of_every_row():
    """Dense rows of unnormalised weights with zeros first, last and in between."""
    weights = torch.tensor([[0, 3, 0, 1], [2, 2, 0, 0], [0, 0, 0, 5], [1e-3, 0, 1e-3, 2e-3]], dtype=torch.float64)
    table = Categorical.from_matrix(weights)
    rows = torch.arange(4).repeat(20_000)
    columns = table.draw_column(rows, generator())
    for row in range(4):
        exact = (weights[row] / weights[row].sum()).tolist()
        drawn = columns[rows == row].tolist()
        if row == 2:
            assert set(drawn) == {3}
        else:
            assert_frequencies(drawn, dict(enumerate(exact)))


def test_ragged_rows_and_rows_of_zeros():
    """Supports of size 2, 0, 3 and 1; a row without weight does not disturb the others."""
    weights = torch.tensor([0.25, 0.75, 0, 0.5, 0.5, 7.0], dtype=torch.float64)
    table = Categorical(weights, torch.tensor([0, 2, 2, 5, 6]))
    rows = torch.tensor([0, 2, 3]).repeat(20_000)
    entries = table.draw(rows, generator(1))
    assert_frequencies(entries[rows == 0].tolist(), {0: 0.25, 1: 0.75})
    assert_frequencies(entries[rows == 2].tolist(), {2: 0.0, 3: 0.5, 4: 0.5})
    assert set(entries[rows == 3].tolist()) == {5}
    assert torch.equal(
        table.draw_column(rows[:2], generator(1)), table.draw(rows[:2], generator(1)) - rows[:2].clamp(max=2)
    )


class _Fixed:
    """Stands in for torch.rand: the numbers that a test chooses."""

    def __init__(self, value):
        self.value = value

    def __call__(self, size, **_):
        return torch.full((size,), self.value, dtype=torch.float64)


def test_the_extreme_uniform_numbers_never_draw_a_zero(monkeypatch):
    """At u = 0 and at the greatest u below 1 the entry drawn has weight, in each of many rows."""
    source = generator(2)
    weights = torch.rand(500, 7, generator=source, dtype=torch.float64)
    weights = torch.where(torch.rand(500, 7, generator=source) < 0.6, 0.0, weights)
    weights[:, 3] = torch.where(weights.sum(1) == 0, 1.0, weights[:, 3])
    table, rows = Categorical.from_matrix(weights), torch.arange(500)
    for value, expected in ((0.0, "first"), (1 - 2**-53, "last")):
        monkeypatch.setattr(torch, "rand", _Fixed(value))
        columns = table.draw_column(rows, generator())
        alive = weights > 0
        first = alive.int().argmax(1)
        last = 6 - alive.flip(1).int().argmax(1)
        assert torch.equal(columns, first if expected == "first" else last)


def test_zero_weights_are_never_drawn():
    weights = torch.tensor([[0, 1, 0, 1e-12, 0, 1, 0]], dtype=torch.float64)
    columns = Categorical.from_matrix(weights).draw_column(torch.zeros(100_000, dtype=torch.long), generator(3))
    assert set(columns.tolist()) <= {1, 3, 5}


def test_the_generator_decides():
    table = Categorical.from_matrix(torch.ones(1, 10, dtype=torch.float64))
    rows = torch.zeros(100, dtype=torch.long)
    assert torch.equal(table.draw(rows, generator(1)), table.draw(rows, generator(1)))
    assert not torch.equal(table.draw(rows, generator(1)), table.draw(rows, generator(2)))
