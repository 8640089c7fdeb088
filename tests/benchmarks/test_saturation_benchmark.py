"""The speed-run to saturation: its recipes are configurations, and its table is what its lines say."""

import pytest
from support.benchmark_scripts import loaded


@pytest.fixture(scope="module")
def benchmark():
    with loaded("saturation") as module:
        yield module


def test_every_recipe_is_a_configuration_on_every_language(benchmark):
    for language in benchmark.MODELS:
        for recipe in benchmark.RECIPES:
            config = benchmark.settings_of(language, recipe, 3, 0.02)
            assert (config.seed, config.threshold, config.stop_at_saturation) == (3, 0.02, True)
            assert config.batch_size == (4096 if recipe == "liu2022" else 256 if "s50" in language else 128)
    assert benchmark.settings_of("demo-hmm", "fast", 0, 0.01).targets == "exact"


def test_means_and_ratios_are_taken_seed_by_seed(benchmark):
    def line(recipe, seed, steps):
        cost = {"steps": steps, "sentences": steps, "flops": steps, "seconds": steps}
        cost = dict.fromkeys(cost) if steps is None else cost
        return {"language": "l", "model": "m", "recipe": recipe, "seed": seed, "saturated": steps is not None} | cost

    lines = [line("adamw", 0, 100.0), line("adamw", 1, 300.0), line("fast", 0, 10.0), line("fast", 1, 20.0)]
    lines += [line("muon", 0, 50.0), line("muon", 1, None)]
    adamw, fast, muon = benchmark.table(lines)
    assert (adamw["steps"], adamw["steps_stderr"], adamw["steps_ratio"]) == (200.0, 100.0, 1.0)
    assert (fast["seconds_ratio"], fast["seconds_ratio_stderr"]) == (12.5, 2.5)
    assert (muon["seeds"], muon["saturated"], muon["steps"]) == (2, 1, 50.0)
    assert (muon["steps_stderr"], muon["steps_ratio"], muon["steps_ratio_stderr"]) == (None, 2.0, None)
