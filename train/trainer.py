"""The entry point of training: from a model, a language and a configuration to rows of metrics.

The trainer builds the stream of batches, the held-out set, the adversary and the objective from one configuration, so
that they agree on masking and batch size.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from ..errors import InputError, StoppedError
from ..generators import Language
from ..generators.batches import Stream
from ..generators.corpus.manifest import Corpus
from ..generators.corpus.stream import CorpusStream
from ..generators.masking import NEXT
from ..generators.named import takes_names
from ..generators.tasks import find_task
from ..models import LanguageModel, check_masking
from ..models.build import dropout_of
from .adversary import Adversary
from .config import TrainConfig
from .metrics import MetricsRow
from .parallel.fsdp import blocks_of
from .parallel.world import World
from .saturation import HeldOut
from .session import Session


class Trainer:
    """Trains a model in place until it is saturated or out of steps.

        for row in Trainer(model, language, TrainConfig(steps=2000), run="out").rows():
            print(row.step, row.kl)

    An interrupted run resumes from its last checkpoint. The caller must record each row before it asks for the next
    one, because the checkpoint of a step is written in between.

    Args:
        model: the model, trained in place. Its dropout must be that of the configuration.
        language: the language of the model's words.
        config: the settings.
        run: directory of the checkpoints.
        corpus: sentences of the language to train on, pass after pass; by default every batch is freshly sampled.
        clock: returns seconds since any origin.
        on_step: called with (step, loss) after every step on a CPU, after some steps on a GPU.
        should_stop: called between steps, between parts of a step and between parts of a measurement.
        world: the processes that train together; by default only this one.

    Raises:
        InputError: for a model that has no weights, does not fit the language's size or the masking, or has another
            dropout than the configuration; for an unknown adversary task; and for a corpus that is unfinished or of
            another language.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from satlab.generators import load_language
        >>> from satlab.models import build_model
        >>> from satlab.train import TrainConfig
        >>> language = load_language("demo-hmm")
        >>> config = TrainConfig(steps=4, batch_size=8, checkpoints=[2], evaluation_sentences=50)
        >>> with TemporaryDirectory() as folder:
        ...     for row in Trainer(build_model("bert-1x8", language), language, config, run=folder).rows():
        ...         print(row.step, row.saturated)
        2 False
        4 False
    """

    @takes_names
    def __init__(
        self,
        model: LanguageModel,
        language: Language,
        config: TrainConfig,
        run: str | Path,
        *,
        corpus: Corpus | None = None,
        clock: Callable[[], float] = time.perf_counter,
        on_step: Callable[[int, float], None] = lambda step, loss: None,
        should_stop: Callable[[], bool] = lambda: False,
        world: World | None = None,
    ) -> None:
        self.model, self.run, self.world = model, Path(run), world or World()
        self.clock, self.on_step, self.should_stop = clock, on_step, should_stop
        self.config = config = resolved(config, model)
        _check_size(model, language)
        _freeze(model, config)
        if self.world.size == 1 or config.sharding == "ddp":
            device = next(model.parameters()).device
            language = language if language.device == device else language.to(device)
        self.language, masking = language, str(config.masking)
        size, seed = config.batch_size, config.seed
        self.stream = (
            Stream(language, size, seed, masking)
            if corpus is None
            else CorpusStream(corpus, language, size, seed, masking)
        )
        self.held_out = HeldOut(language, config)
        self.adversary: Adversary | None = None
        if config.adversary_task is not None:
            self.adversary = Adversary(model, language, find_task(language, config.adversary_task), config)

    def rows(self) -> Iterator[MetricsRow]:
        """Trains to the end of the run.

        Yields:
            A row at each of config.evaluation_steps, at each checkpoint that is kept, and at steps where the running KL
            suggests saturation. The checkpoint of a step is written after its row has been consumed.

        Raises:
            DivergedError: naming the step, if the loss, KL or a weight is not finite; earlier checkpoints remain.
            StoppedError: naming the step, once should_stop() returns True and the last complete step has a checkpoint.
                An interrupted measurement or step is repeated when the run resumes.
        """
        session = Session(
            self.model,
            self.stream,
            self.held_out,
            self.config,
            run=self.run,
            adversary=self.adversary,
            world=self.world,
            stops=self._stops,
        )
        try:
            yield from self._rows(session)
        finally:
            session.take.end()

    def is_saturated(self, model: LanguageModel) -> bool:
        """Whether a model, such as one of the run's checkpoints, counts as saturated on the held-out set."""
        return self.held_out.rule.holds(self.held_out.measure(model).decides)

    def _rows(self, session: Session) -> Iterator[MetricsRow]:
        begin, now = self.clock(), session.now
        lasted: float | None
        while not now.finished:
            taken = now.row_due or session.step(self.on_step)
            stopped, saved, lasted = not taken or self._stops(), False, None
            if now.row_due and not stopped:
                lasted = self.clock() - begin
                row = session.measure(lasted, self._stops)
                if row is None:
                    stopped = True
                else:
                    yield row
                    saved = session.close_row(row)
                    begin = self.clock()
            elif session.rolls and not stopped:
                session.save_between_rows(self.clock() - begin)
            if stopped and not now.finished and not saved:
                session.save_between_rows(self.clock() - begin if lasted is None else lasted)
                raise StoppedError(f"stopped at step {now.step} of {self.config.steps}")

    def _stops(self) -> bool:
        return self.world.any(self.should_stop())


def resolved(config: TrainConfig, model: LanguageModel) -> TrainConfig:
    """Fills in the model's default masking in a configuration, and checks that the two fit together.

    Args:
        config: its masking may be None.
        model: the model. By default a causal model has masking `next`, any other `one`.

    Returns:
        The configuration with its masking.

    Raises:
        InputError: for a model that has no weights, does not fit the masking or sharding, or has another dropout, and
            for an optimiser whose library is not installed.
    """
    config.optimizer_entry.check_installed()
    if next(model.parameters(), None) is None:
        raise InputError(f"model '{model.name}' has no weights to train; choose another")
    if config.sharding == "fsdp":
        blocks_of(model)
    masking = config.masking or (NEXT if model.causal else "one")
    check_masking(model, masking)
    has_dropout = any(isinstance(module, nn.Dropout) for module in model.modules())
    if has_dropout and dropout_of(model) != config.dropout:
        raise InputError(
            f"model '{model.name}' has dropout {dropout_of(model):g} and the configuration {config.dropout:g}, "
            f"expected the same; build the model with dropout={config.dropout:g}"
        )
    return replace(config, masking=masking)


def _check_size(model: LanguageModel, language: Language) -> None:
    """Raises InputError if the language and the model differ in number of words, or sentences are too long for it."""
    if model.vocab_size != language.vocab_size or model.max_length < language.max_length:
        here = f"{language.vocab_size} words, sentences of up to {language.max_length}"
        there = f"{model.vocab_size} words, sentences of up to {model.max_length}"
        raise InputError(
            f"model '{model.name}' was built for {there}, the language has {here}; build it for this language"
        )


def _freeze(model: LanguageModel, config: TrainConfig) -> None:
    """Takes the gradients off the parameters that training keeps, and gives them to all others.

    Raises:
        InputError: for a model that has none of this kind.
    """
    kinds = {name: model.parameter_block(name) for name, _ in model.named_parameters()}
    if config.freeze is not None and config.freeze not in kinds.values():
        raise InputError(f"freeze {config.freeze} with model '{model.name}', which has none; leave freeze out")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(kinds[name] != config.freeze)
