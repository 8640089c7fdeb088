"""What a function leaves alone: the weights of a model, their gradients, and torch's global random state."""

from contextlib import contextmanager

import torch


@contextmanager
def untouched(*models):
    """The block changes neither the models' weights nor torch's random state, and leaves no gradients behind."""
    weights = [{name: value.clone() for name, value in model.state_dict().items()} for model in models]
    state = torch.random.get_rng_state()
    yield
    assert torch.equal(state, torch.random.get_rng_state())
    for model, before in zip(models, weights, strict=True):
        assert model.state_dict().keys() == before.keys()
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())
