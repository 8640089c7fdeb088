"""Products by oneDNN: the values and gradients of F.linear, of any order, and F.linear where oneDNN gains nothing."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from support.networks import demo_hmm, grammar_language, same_weights, shaken
from support.training import comparable, session, short, tensors_of
from torch.nn import functional as F

from satlab.flatness.estimators.sampled_gradient import recorded_squares
from satlab.flatness.operator import Space, product
from satlab.generators.batches import Stream, evaluation_set
from satlab.models import build_model
from satlab.models.ops import fast_linear as products
from satlab.models.ops.fast_linear import GRAIN, FastProducts, _Product, linear, unused_avx512
from satlab.probes.feature_store import FeatureStorage
from satlab.probes.features import FeatureChoice, concatenated_features, extract
from satlab.train import TrainConfig, checkpoints, kl_to_truth, masked_loss
from satlab.train.parallel.world import World
from satlab.train.step import Stepper

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """The shapes that went to oneDNN, which is taken on any chip here."""
    shapes, apply = [], _Product.apply
    monkeypatch.setattr(products, "unused_avx512", lambda: True)

    def noting(a, b, c):
        shapes.append((*a.shape, b.shape[0]))
        return apply(a, b, c)

    monkeypatch.setattr(products, "_product", noting)
    return shapes


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def off(one, other):
    """The largest difference beside the largest value."""
    return ((one - other).abs().max() / other.abs().max().clamp(min=1e-30)).item()


SHAPES = [
    ((GRAIN, 128), 384),
    ((2, GRAIN, 256), 128),
    ((4, 16, 128), 128),
    ((1111, 512), 512),
    ((3, 5, GRAIN, 128), 130),
]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("shape", "out"), SHAPES)
def test_values_and_gradients_are_those_in_float64(shape, out, biased, taken):
    operands = [numbers(*shape), numbers(out, shape[-1]), *([numbers(out)] if biased else [])]
    covector = numbers(*shape[:-1], out)
    mine, exact = ([x.to(dtype).requires_grad_() for x in operands] for dtype in (torch.float32, torch.float64))
    found, expected = linear(*mine), F.linear(*exact)
    assert found.shape == expected.shape
    assert off(found, expected) < 1e-5
    assert len(taken) == 1
    gradients = torch.autograd.grad(found, mine, covector)
    assert len(taken) == 3
    for one, other in zip(gradients, torch.autograd.grad(expected, exact, covector.double()), strict=True):
        assert one.shape == other.shape
        assert off(one, other) < 1e-5


def test_second_derivatives_are_those_in_float64(taken):
    def second(dtype, map_):
        x, weight, bias = (v.to(dtype).requires_grad_() for v in (numbers(GRAIN, 128), numbers(192, 128), numbers(192)))
        value = map_(x, weight, bias).tanh().square().sum()
        first = torch.autograd.grad(value, (x, weight, bias), create_graph=True)
        return torch.autograd.grad(sum(g.sin().sum() for g in first), (x, weight, bias))

    for one, other in zip(second(torch.float32, linear), second(torch.float64, F.linear), strict=True):
        assert off(one, other) < 1e-4
    assert len(taken) > 3


@pytest.mark.parametrize("layout", ["expanded", "by columns", "strided"])
def test_operands_and_gradients_may_lie_anyhow(layout, taken):
    made = {
        "expanded": lambda n, k: numbers(1, k).expand(n, k),
        "by columns": lambda n, k: numbers(k, n).T,
        "strided": lambda n, k: numbers(n, 2 * k)[:, ::2],
    }[layout]
    operands, covector = (made(GRAIN, 128), made(256, 128), made(2, 256)[1]), made(GRAIN, 256)
    mine, exact = ([v.to(dtype).requires_grad_() for v in operands] for dtype in (torch.float32, torch.float64))
    # Casting has laid the exact operands out anew.
    assert [x.stride() for x in mine] == [x.stride() for x in operands]
    found, expected = linear(*mine), F.linear(*exact)
    assert off(found, expected) < 1e-5
    assert len(taken) == 1
    for one, other in zip(
        torch.autograd.grad(found, mine, covector), torch.autograd.grad(expected, exact, covector.double()), strict=True
    ):
        assert off(one, other) < 1e-5


@pytest.mark.parametrize("case", ["expanded", "strided"])
def test_a_bias_may_lie_anyhow(case):
    bias = numbers(1).expand(256) if case == "expanded" else numbers(512)[::2]
    x, weight = numbers(GRAIN, 128), numbers(256, 128)
    assert off(linear(x, weight, bias), F.linear(x, weight, bias)) < 1e-5


OTHERWISE = {
    "float64": (numbers(GRAIN, 128).double(), numbers(128, 128).double()),
    "a shape that will not recur": (numbers(GRAIN + 1, 128), numbers(128, 128)),
    "narrow": (numbers(GRAIN, 64), numbers(256, 64)),
    "a vector": (numbers(128), numbers(128, 128)),
    "nothing": (numbers(0, 128), numbers(128, 128)),
    "another device": (numbers(GRAIN, 128).to("meta"), numbers(128, 128).to("meta")),
}


@pytest.mark.parametrize(
    "shapes", [((GRAIN, 128), (128, 256)), ((GRAIN, 128), (128, 128), (64,)), ((GRAIN, 128), (2, 128, 128))]
)
def test_what_f_linear_refuses_is_refused_in_its_words(shapes):
    operands, said = [torch.zeros(shape) for shape in shapes], []
    for map_ in (linear, F.linear):
        with pytest.raises(RuntimeError) as refused:
            map_(*operands)
        said.append(str(refused.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("shapes", [((GRAIN, 128), (128,)), ((GRAIN, 128), (128, 128), (1,))])
def test_what_else_f_linear_takes_is_taken(shapes):
    operands = [numbers(*shape) for shape in shapes]
    assert torch.equal(linear(*operands), F.linear(*operands))


def test_names_of_operands_are_those_of_f_linear(taken):
    x, weight, bias = numbers(GRAIN, 128), numbers(128, 128), numbers(128)
    with FastProducts():
        found = F.linear(input=x, weight=weight, bias=bias)
    assert len(taken) == 1
    assert off(found, F.linear(x, weight, bias)) < 1e-5


@pytest.mark.parametrize("case", OTHERWISE)
def test_elsewhere_it_is_f_linear(case, taken):
    x, weight = OTHERWISE[case]
    found, expected = linear(x, weight), F.linear(x, weight)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert found.device == expected.device
    assert found.device.type == "meta" or torch.equal(found, expected)
    assert not taken


def test_in_bf16_and_where_onednn_is_switched_off_it_is_f_linear(taken, monkeypatch):
    x, weight = numbers(GRAIN, 128), numbers(128, 128)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    assert not taken


@pytest.mark.parametrize(
    ("maker", "capability", "unused"),
    [("AuthenticAMD", "AVX512", True), ("AuthenticAMD", "AVX2", False), ("GenuineIntel", "AVX512", False)],
)
def test_only_chips_that_the_usual_library_does_not_use_whole_are_taken_otherwise(
    maker, capability, unused, monkeypatch
):
    monkeypatch.setattr(Path, "read_text", lambda path: f"vendor_id : {maker}")
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert unused_avx512.__wrapped__() is unused


def test_a_torch_without_this_product_does_without(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: "vendor_id : AuthenticAMD")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert unused_avx512.__wrapped__() is False


@pytest.mark.parametrize("compiled", [False, True])
def test_training_takes_it_unless_compiled(compiled, taken, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **how: None)
    language, config = demo_hmm(), TrainConfig(batch_size=16, compile=compiled)
    model = build_model("bert-1x128", language)
    step = Stepper(model, config.optimizer_entry.build(model), Stream(language, 16, 0), config, None, World())
    step(1)
    assert bool(taken) is not compiled


@pytest.mark.parametrize("what", ["kl", "features", "all features"])
def test_measuring_takes_it(what, taken):
    language = demo_hmm()
    model = build_model("bert-1x128", language)
    sentences = language.sample(GRAIN, torch.Generator().manual_seed(1))
    if what == "kl":
        kl_to_truth(model, evaluation_set(language, GRAIN, 1))
    elif what == "features":
        extract(model, sentences, [FeatureChoice()], FeatureStorage())
    else:
        concatenated_features(model, sentences)
    assert taken


def test_a_run_in_two_sessions_ends_with_the_bits_of_one(tmp_path, taken):
    config = short(batch_size=16, dropout=0.1)
    one = session(tmp_path / "one", "bert-1x128", config)
    assert taken
    two = session(tmp_path / "two", "bert-1x128", config, session(tmp_path / "two", "bert-1x128", config, take=4))
    assert comparable(two) == comparable(one)
    assert same_weights(*(tensors_of(checkpoints(tmp_path / name)[-1][1]) for name in ("one", "two")))


@pytest.mark.parametrize("name", ["bert-2x128", "bert-post-2x128"])
@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
def test_a_model_trains_by_the_same_gradients(name, masking, taken):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 64, 1, masking).batch(1)
    model.packs = True

    def gradient(within):
        model.zero_grad()
        with within:
            loss = masked_loss(model, batch)
        loss.backward()
        return torch.cat([parameter.grad.flatten().double() for parameter in model.parameters()])

    exact = gradient(FastProducts())
    assert not taken
    model.float()
    plain, fast = gradient(nullcontext()), gradient(FastProducts())
    assert len(taken) > 10
    assert (fast - exact).norm() < 4 * (plain - exact).norm() < 1e-4 * exact.norm()


@pytest.mark.parametrize("name", ["bert-1x128", "bert-post-1x128"])
@pytest.mark.parametrize("kind", ["hessian", "gauss-newton", "residual"])
def test_curvature_in_single_precision(kind, name, taken):
    language = demo_hmm()
    model, batch = shaken(name, language, deviation=0.1), Stream(language, GRAIN, 1).batch(1)
    vector = Space(model).signs(torch.Generator().manual_seed(1))
    exact = product(model, Space(model), kind, batch, None, vector)
    assert not taken
    model.float()
    found = product(model, Space(model), kind, batch, None, vector.float())
    assert len(taken) > 10
    assert (found - exact).norm() < 1e-4 * exact.norm()


@pytest.mark.parametrize("name", ["bert-1x128", "bert-post-1x128"])
def test_squared_gradients_in_single_precision(name, taken):
    language = demo_hmm()
    model, batch = shaken(name, language, deviation=0.1), Stream(language, GRAIN, 1).batch(1)
    words = torch.zeros(len(batch.rows), 1, dtype=torch.long)
    exact = recorded_squares(model, batch, words)
    assert not taken
    found = recorded_squares(model.float(), batch, words)
    assert len(taken) > 4
    largest = max(values.max() for values in exact.values())
    for parameter, values in found.items():
        assert (values - exact[parameter]).abs().max() < 1e-4 * largest
