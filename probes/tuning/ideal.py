"""The exact posterior of the state before a text, and the exact prediction at the mask after an ideal prompt.

A prompt acts like an artificial word with its own likelihood q for each state. It multiplies the posterior of the state
before the text by q, so that the prediction at the mask is

    G_0(x)  proportional to  W^T (q * p(z_0 | x)),        W the emission [K, V]

The ideal prompt has q = 1 on the states that affect the label, and 0 elsewhere, so that other states add no noise.
"""

import torch
from torch import Tensor

from ...errors import InputError
from ...generators import Language, Sentences, Task
from ...generators.hmm.language import HMM
from ...generators.hmm.tasks import PosteriorArgmax
from .layout import Layout


def state_at_mask(language: HMM, text: Tensor) -> Tensor:
    """p(z = k | the text) for the state z at a mask that precedes the text in a sentence of the language.

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
    """The distribution of the word at the mask after a prompt has ruled out all states except the kept ones.

    Args:
        state: p(z_0 | x) [n, K].
        emission: [K, V].
        kept: [K] bool.

    Returns:
        [n, V]; the uniform distribution for a text in which the kept states are impossible.
    """
    joint = (state * kept) @ emission
    total = joint.sum(1, keepdim=True)
    return torch.where(total > 0, joint / total.clamp_min(1e-300), 1 / emission.shape[1])


def with_weights(language: Language, task: Task, otherwise: str = "") -> tuple[HMM, PosteriorArgmax]:
    """Checks that the label is the largest of some weightings of the posterior of an HMM's state.

    Args:
        language: the language of the task.
        task: the task.
        otherwise: what else the message offers.

    Returns:
        The language and the task, with their types narrowed.

    Raises:
        InputError: for any other language or task.
    """
    if not isinstance(language, HMM) or not isinstance(task, PosteriorArgmax):
        raise InputError(
            f"task '{task.name}' has no weights on the states of an HMM, expected the task posterior of a language "
            f"such as wei2021-hmm; choose that{otherwise}"
        )
    return language, task


def ideal_prompt(language: Language, task: Task, sentences: Sentences, layout: Layout) -> Tensor:
    """The distribution at the mask after the ideal prompt, which a head reads.

    Args:
        language: the language of the texts.
        task: the task, whose readout defines which states affect the label.
        sentences: the texts; as many of their first words are read as the layout has room for.
        layout: the positions of prompt, mask and text.

    Returns:
        [n, V] float64.

    Raises:
        InputError: for a task without weights on the states.
    """
    chain, weighted = with_weights(language, task)
    state = state_at_mask(chain, sentences.tokens[:, : layout.text])
    return ideal_distribution(state, chain.emission, mattering(weighted.readout.weights))
