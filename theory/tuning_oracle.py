"""The accuracy of head and prompt tuning with a perfect network: heads at their optimum on exact posteriors.

Accuracies for a language and its task "posterior", on texts of the language:

    majority      the most frequent label of the training texts
    words         a head on p(x_0 | x), the word before the text, with a strong and with a negligible penalty
    state         a head on p(z_0 | x), the state before the text, of which the label is a linear function
    prompt        a head on the word before the text, after a prompt has ruled out the states irrelevant to the label
    pooled        a head on the mean over the words of p(x_i | all other words)
    block known   not an accuracy: the share of texts that determine the block; only with several blocks

z_0 is the state one step before the text under a uniform start, as in the task. C is that of scikit-learn, which
minimises 1/2 |w|^2 plus C times the sum of the losses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..errors import at_least
from ..estimate import Estimate
from ..generators.hmm.language import HMM
from ..generators.hmm.tasks import PosteriorArgmax, state_before
from ..probes.logistic.raw import fit_raw
from ..probes.samples import Samples
from ..probes.tuning.ideal import ideal_distribution, mattering
from ..probes.tuning.labelled import labelled

STRONG, WEAK, USUAL = 1.0, 1e6, 1e3
"""C of the two heads on words, and of all other heads."""

CERTAIN = 0.999
"""The probability above which a block counts as known."""


@dataclass(frozen=True)
class Oracle:
    """How the accuracies are measured.

    Args:
        train_sentences: texts to which a head is fitted; 5,000 as released.
        test_sentences: texts on which its accuracy is measured; 1,000 as released.
        seed: the seed of the texts.

    Raises:
        InputError: for fewer than 2 training texts or no test text.
    """

    train_sentences: int = 5000
    test_sentences: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("train_sentences", self.train_sentences, 2)
        at_least("test_sentences", self.test_sentences, 1)

    def accuracies(self, language: HMM, task: PosteriorArgmax) -> Iterator[tuple[str, Estimate]]:
        """Measures the accuracies on a language.

        Args:
            language: the hidden Markov model.
            task: its task "posterior".

        Yields:
            (name, the share of the test texts that are classified correctly, with its standard error over texts).
        """
        samples = Samples(self.train_sentences, self.test_sentences, 1, self.seed)
        (one,) = labelled(samples, language, task)
        classes = len(task.classes)

        def accuracy(parts: list[Tensor], c: float) -> Estimate:
            seen, unseen = parts
            ridge = (2.0 if classes == 2 else 1.0) / (c * len(seen))
            return Estimate.from_samples(fit_raw(seen, one.labels, classes, ridge).predict(unseen) == one.expected)

        yield "majority", Estimate.from_samples(one.expected == one.labels.mode().values)
        state = [state_before(language, some.tokens, task.readout.words) for some in (one.train, one.test)]
        words = [p @ language.emission for p in state]
        yield "head on words, C = 1", accuracy(words, STRONG)
        yield "head on words, C = 1e6", accuracy(words, WEAK)
        yield "head on state", accuracy(state, USUAL)
        kept = mattering(task.readout.weights)
        prompted = [ideal_distribution(p, language.emission, kept) for p in state]
        yield "ideal prompt", accuracy(prompted, USUAL)
        pooled = [language.conditional(some.tokens).mean(1) for some in (one.train, one.test)]
        yield "head on pooled words", accuracy(pooled, USUAL)
        if len(language.blocks) > 1:
            blocks = state[1].reshape(len(one.test), len(language.blocks), -1).sum(2)
            yield "block known", Estimate.from_samples(blocks.amax(1) > CERTAIN)
