"""All contexts of a tiny language with their probabilities; exact traces over them by full Jacobians and Hessians."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel

from satlab.generators.batches import Batch
from satlab.models.interface import LanguageModel


@dataclass(frozen=True)
class Contexts:
    """Every (masked sentence, position) once, its probability p(x_-t) / T [m] and the truth there [m, V]."""

    batch: Batch
    weights: Tensor
    truth: Tensor


def all_contexts(language):
    """One word hidden, uniformly; by listing all sentences of a language of one length."""
    V, T = language.vocab_size, language.max_length
    sentences = torch.tensor(list(itertools.product(range(V), repeat=T)))
    probability = language.log_prob(sentences).exp()
    assert abs(probability.sum() - 1) < 1e-12
    joint = {}
    for tokens, p in zip(sentences.tolist(), probability.tolist(), strict=True):
        for t in range(T):
            visible = (*tokens[:t], language.mask_id, *tokens[t + 1 :])
            joint.setdefault((visible, t), torch.zeros(V, dtype=torch.float64))[tokens[t]] += p
    possible = {key: mass for key, mass in joint.items() if mass.sum() > 0}
    inputs = torch.tensor([visible for visible, _ in possible])
    positions = torch.tensor([t for _, t in possible])
    masses = torch.stack(list(possible.values()))
    weights = masses.sum(1) / T
    batch = Batch(inputs, torch.arange(len(inputs)), positions, torch.zeros(len(inputs), dtype=torch.long))
    return Contexts(batch, weights, masses / masses.sum(1, keepdim=True))


def parameters_of(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def logits_of(model, batch):
    """A function of the parameters alone, by the model's full pass."""

    def function(weights):
        with sdpa_kernel(SDPBackend.MATH):
            return functional_call(model, weights, (batch.inputs,))[batch.rows, batch.positions]

    return function


def gauss_newton(model, contexts):
    """name of parameter -> its share of Tr E J^T (diag f - f f^T) J, from the whole Jacobian J of the logits."""
    function, parameters = logits_of(model, contexts.batch), parameters_of(model)
    f = function(parameters).softmax(1)
    metric = torch.diag_embed(f) - f[:, :, None] * f[:, None, :]
    with sdpa_kernel(SDPBackend.MATH):
        jacobians = jacrev(function)(parameters)
    shares = {}
    for name, jacobian in jacobians.items():
        jacobian = jacobian.flatten(2)
        shares[name] = float(torch.einsum("m,mvw,mvp,mwp->", contexts.weights, metric, jacobian, jacobian))
    return shares


def true_hessian(model, contexts):
    """Name of parameter -> its share of the trace of the population loss's Hessian, by differentiating it twice."""
    function, parameters = logits_of(model, contexts.batch), parameters_of(model)

    def loss(weights):
        return -(contexts.weights[:, None] * contexts.truth * function(weights).log_softmax(1)).sum()

    with sdpa_kernel(SDPBackend.MATH):
        blocks = hessian(loss)(parameters)
    sizes = {name: p.numel() for name, p in parameters.items()}
    return {name: float(blocks[name][name].reshape(sizes[name], -1).trace()) for name in parameters}


class Exact(LanguageModel):
    """A model that equals the truth, its logits A[context] @ B by a table A = log p and a shared matrix B = 1.

    B is shared by all contexts and multiplies A, so second derivatives of the logits do not vanish.
    """

    def __init__(self, language, contexts, vectorised=True):
        super().__init__()
        self.name, self.vocab_size, self.max_length = "exact", language.vocab_size, language.max_length
        self.feature_size, self.per_example_gradients = language.vocab_size, vectorised
        V, T = language.vocab_size, language.max_length
        self.register_buffer("base", (V + 2) ** torch.arange(T))
        table = torch.zeros((V + 2) ** T, dtype=torch.long)
        table[(contexts.batch.inputs * self.base).sum(1)] = torch.arange(len(contexts.weights))
        self.register_buffer("number", table)
        self.embedding = nn.Parameter(contexts.truth.log())
        self.mix = nn.Parameter(torch.eye(V, dtype=torch.float64))

    def features(self, tokens):
        context = self.number[(tokens * self.base).sum(1)]
        return self.embedding[context][:, None].expand(-1, tokens.shape[1], -1)

    def logits(self, features):
        return features @ self.mix
