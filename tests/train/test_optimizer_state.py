"""The state of an optimiser as named tensors: nested lists and numbers survive, and how a matrix lies in memory."""

import pytest
import torch
from torch import nn

from satlab.train.optimizer_state import flattened, load_flattened


def optimizer_with(state, **group):
    weight = nn.Parameter(torch.zeros(2, 3))
    made = torch.optim.SGD([weight], lr=0.1)
    made.state[weight] = state
    made.param_groups[0] |= group
    return made


def roundtrip(state, **group):
    """(names, the state that another optimiser has after it took them over, its group)."""
    found = flattened(optimizer_with(state, **group))
    assert all(value.is_contiguous() for value in found.values())
    other = optimizer_with({})
    load_flattened(other, found)
    (restored,) = other.state.values() if other.state else ({},)
    return set(found), restored, other.param_groups[0]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype and one.stride() == other.stride()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_a_state_of_tensors_has_the_names_that_earlier_versions_wrote():
    weight = nn.Parameter(torch.ones(2, 3))
    made = torch.optim.AdamW([weight], fused=True)
    weight.square().sum().backward()
    made.step()
    assert set(flattened(made)) == {"0.step", "0.exp_avg", "0.exp_avg_sq"}


def test_lists_numbers_and_mappings_survive():
    matrix = torch.arange(6.0).view(2, 3)
    state = {
        "Q": [matrix, matrix.T, [], [matrix[0].clone(), [torch.tensor(3.0)]]],
        "beta": 0.1,
        "every": 2**40,
        "ready": True,
        "graft": {"sum": matrix.clone(), "count": 3},
        "turned": torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1),
    }
    names, restored, group = roundtrip(state, step=7)
    assert same(state, restored)
    assert (group["step"], group["lr"]) == (7, 0.1)
    assert names == {
        *("0.Q.[0]", "0.Q.[1]:1,0", "0.Q.[2]:list", "0.Q.[3].[0]", "0.Q.[3].[1].[0]", "0.beta:float", "0.every:int"),
        *("0.ready:bool", "0.graft.sum", "0.graft.count:int", "0.turned:1,2,0", "group.0.step:int"),
    }


def test_no_state_is_none():
    assert flattened(optimizer_with({})) == {}


@pytest.mark.parametrize("state", [{"a.b": torch.zeros(1)}, {"a": "text"}, {"a": None}, {"a": {1: 2.0}}])
def test_what_cannot_be_written_is_said(state):
    with pytest.raises(TypeError, match="an optimiser's state has"):
        flattened(optimizer_with(state))
