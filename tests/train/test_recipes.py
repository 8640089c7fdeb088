"""Recipes: what they stand for, what may replace it, and what contradicts them."""

import pytest

from satlab.errors import InputError
from satlab.train import TrainConfig
from satlab.train.recipes import recipes, with_recipe


@pytest.mark.parametrize("name", list(recipes))
def test_a_recipe_is_a_whole_configuration(name):
    for model in ("bert-2x16", "lstm-1x64", "gpt-2x512:heads=8"):
        values = with_recipe(name, model, {})
        config = TrainConfig(**values)
        assert {key: getattr(config, key) for key in values} == values
        assert set(recipes[name].fixed) <= values.keys()


def test_what_is_given_comes_before_the_recipe():
    config = TrainConfig(**with_recipe("fast", "bert-2x64", {"lr": 0.5, "steps": 7, "seed": 3, "targets": "exact"}))
    assert (config.lr, config.steps, config.seed, config.targets) == (0.5, 7, 3, "exact")
    assert config.optimizer == "muon"


def test_rates_fall_with_the_square_root_of_the_width():
    narrow, wide = (TrainConfig(**with_recipe("fast", f"bert-2x{width}", {})) for width in (32, 128))
    assert narrow.lr == pytest.approx(2 * wide.lr, rel=1e-3)
    ratio = narrow.optimizer_settings["matrix_lr"] / wide.optimizer_settings["matrix_lr"]
    assert ratio == pytest.approx(2, rel=1e-3)


def test_the_published_recipes_are_those_of_the_paper():
    config = TrainConfig(**with_recipe("liu2022", "bert-6x512", {}))
    assert (config.optimizer, config.targets, config.batch_size, config.warmup) == ("adamw", "sampled", 4096, 0.06)
    assert (config.lr, config.betas, config.eps, config.weight_decay) == (1e-3, (0.9, 0.98), 1e-6, 0.01)
    config = TrainConfig(**with_recipe("liu2022-sgd", "bert-6x512", {}))
    assert (config.optimizer, config.lr, config.warmup, config.momentum) == ("sgd", 1e-3, 0.5, 0.0)


@pytest.mark.parametrize(
    ("recipe", "given", "said"),
    [
        ("fst", {}, "unknown recipe 'fst': did you mean 'fast'"),
        (
            "fast",
            {"targets": "sampled"},
            "targets is 'sampled' with recipe 'fast', which stands for 'exact'; leave one",
        ),
        ("liu2022", {"optimizer": "muon"}, "optimizer is 'muon' with recipe 'liu2022', which stands for 'adamw'"),
        ("liu2022-sgd", {"schedule": "linear"}, "schedule is 'linear' with recipe 'liu2022-sgd'"),
        ("fast:x=1", {}, "recipe 'fast' has no settings, but 'x' is given; remove it"),
    ],
)
def test_a_contradiction_is_refused(recipe, given, said):
    with pytest.raises(InputError, match=said):
        with_recipe(recipe, "bert-2x64", given)
