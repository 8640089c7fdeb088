"""Exact truths before a text: the state and the word there, and the best that a prompt of 0 and 1 can do.

A prompt is a fake word with a likelihood for each state of its own. It multiplies the posterior of the state before the
text by a factor q, so that the mask predicts

    G_0(x)  proportional to  W^T (q * p(z_0 | x)),        W the emission [K, V]

With q = 1 on the states that matter to the label, and 0 elsewhere, the words of other states no longer disturb.
"""

import torch
from torch import Tensor

from ...errors import InputError
from ...generators import Language, Sentences, Task
from ...generators.hmm.language import HMM
from ...generators.hmm.tasks import PosteriorArgmax
from .layout import Layout


def state_at_mask(language: HMM, text: Tensor) -> Tensor:
    """p(z = k | the text) of the state at a mask before it, both within a sentence of the language.

    Args:
        language: the chain, whose sentences have T words.
        text: tokens [n, L]; the first T - 1 are read.

    Returns:
        [n, K] float64.
    """
    length = language.max_length
    words = text[:, : length - 1]
    tokens = torch.nn.functional.pad(words, (1, length - 1 - words.shape[1]), value=language.mask_id)
    tokens[:, 0] = language.mask_id
    return language.posterior(tokens, None, tokens == language.mask_id)[:, 0]


def mattering(weights: Tensor) -> Tensor:
    """The states on which the weights [classes, K] of a readout differ between classes, [K] bool."""
    return weights.amax(0) > weights.amin(0)


def ideal_distribution(state: Tensor, emission: Tensor, kept: Tensor) -> Tensor:
    """The word at the mask once a prompt has ruled out all states but those kept.

    Args:
        state: p(z_0 | x) [n, K].
        emission: [K, V].
        kept: [K] bool.

    Returns:
        [n, V]; where the kept states are impossible, the uniform distribution.
    """
    joint = (state * kept) @ emission
    total = joint.sum(1, keepdim=True)
    return torch.where(total > 0, joint / total.clamp_min(1e-300), 1 / emission.shape[1])


def ideal_prompt(language: Language, task: Task, sentences: Sentences, layout: Layout) -> Tensor:
    """What a head reads after the ideal prompt, [n, V] float64.

    Args:
        language: of the text.
        task: whose label it is.
        sentences: the texts; the first words are read, as many as the layout leaves room for.
        layout: of prompt, mask and text.

    Returns:
        [n, V] float64.

    Raises:
        InputError: for a task without weights on the states.
    """
    if not isinstance(language, HMM) or not isinstance(task, PosteriorArgmax):
        raise InputError(f"task '{task.name}' has no weights on the states of an HMM, expected the task posterior")
    state = state_at_mask(language, sentences.tokens[:, : layout.text])
    return ideal_distribution(state, language.emission, mattering(task.readout.weights))
