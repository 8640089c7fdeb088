"""The types of rows: what is checked, what goes into tables and what JSON holds all follow from the fields."""

import json

import pytest

from satlab.lab.runs.rows import IN_TABLES, ResultRow, wrong_result

KL = {
    "model": "bert-1x8",
    "parameters": 1234,
    "seed": 0,
    "step": 10,
    "what": "kl",
    "method": "exact-truth",
    "value": 0.25,
    "stderr": None,
    "n": 1,
    "unit": "nats",
    "floor": 2.5,
    "floor_stderr": 0.5,
    "settings": "{}",
    "seconds": 1.5,
    "satlab": "0.1.0",
}


@pytest.mark.parametrize(
    "row",
    [
        KL,
        KL | {"step": None, "what": "probe", "method": "bayes", "task": "root", "language_fingerprint": "ab"},
        KL | {"what": "eigenvalue", "block": "1", "rank": 1, "bound": [0.5], "of a plug-in": {"any": "thing"}},
    ],
)
def test_a_row_comes_back_as_it_was(row):
    read = ResultRow.from_json(row)
    assert read.as_json() == row
    assert json.loads(json.dumps(read.as_json())) == row
    assert read.value == 0.25
    assert dict(read.more) == {name: row[name] for name in row if name in ("rank", "bound", "of a plug-in")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": "x"}, 'value is "x", expected a number'),
        ({"method": None}, "method is null, expected a string"),
        ({"n": 1.5}, "n is 1.5, expected an integer"),
        ({"alpha": True}, "alpha is true, expected a number"),
        ({"language_fingerprint": []}, "language_fingerprint is [], expected a string"),
        ({"what": "rescaled_trace", "block": None}, "block is null, expected a string"),
        ({"what": "hessian_trace_enlarged"}, "has no key 'block', expected a string there"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(change, said):
    assert wrong_result(KL | change) == said
    with pytest.raises(ValueError, match=r".") as error:
        ResultRow.from_json(KL | change)
    assert str(error.value) == said


def test_tables_keep_their_columns():
    """Tables that are there already were written with these, in this order."""
    columns = (
        *("run", "model", "parameters", "seed", "step", "what", "method", "task", "block", "value", "stderr", "n"),
        *("unit", "floor", "floor_stderr", "settings", "seconds", "satlab", "layer", "position"),
    )
    assert columns == IN_TABLES
