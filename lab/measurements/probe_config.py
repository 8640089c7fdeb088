"""The settings of a probe measurement."""

from dataclasses import asdict, dataclass
from typing import Any

from ...errors import InputError, check_types, unknown
from ...probes import (
    Extraction,
    FeatureChoice,
    FeatureStorage,
    ProbeMethod,
    Samples,
    is_model_probe,
    probe_methods,
    probe_names,
    reads_table,
)
from ...settings import check_unused, chosen, with_settings_of

TABLE_PROBE = "linear"
"""The probe that measures the look-up table in place of probes that train weights of the model: the table has none."""


@with_settings_of(probe_methods, "method")
@dataclass(frozen=True)
class ProbeConfig:
    """Probes of frozen features, and fine-tuning. Published (Liu et al. 2022): linear-adamw, 1e5 sentences, 5 seeds.

    Args:
        train_sentences: labelled sentences to which the probe is fitted.
        test_sentences: labelled sentences on which its accuracy is measured.
        seeds: repeats, each with its own sentences.
        seed: seed of the repeats.
        method: the probe, or a list of several.
        layer: number of a layer to read instead of the final features (0 is the embedding), or all for each by itself.
        position: position of the one word to read (from 1) instead of all words side by side, or all for each by
            itself.
        projection: width of a random Gaussian projection of the features (512 as published); none unless given.
        precision: precision in which probes keep and multiply features, float32 or bf16.
    """

    train_sentences: int = 8000
    test_sentences: int = 8000
    seeds: int = 3
    seed: int = 0
    method: list[str] | str = "linear"
    layer: int | str | None = None
    position: int | str | None = None
    projection: int | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_types(self)
        _ = self.samples, self.extraction()
        self._check_methods()
        check_unused(self)
        for name in ("layer", "position"):
            if isinstance(getattr(self, name), str) and getattr(self, name) != "all":
                raise InputError(f"{name} is '{getattr(self, name)}', expected a number or all; correct it")
        frozen = [name for name in ("layer", "position", "projection") if getattr(self, name) is not None]
        for method in filter(is_model_probe, self.methods if frozen else []):
            raise InputError(
                f"{frozen[0]} with method {method}, which reads no frozen features; leave one of the two out"
            )

    def _check_methods(self) -> None:
        if not self.methods or len(set(self.methods)) < len(self.methods):
            names = ", ".join(probe_names())
            raise InputError(f"method is {self.method}, expected one or several of {names}; name each once")
        for method in self.methods:
            if method not in probe_methods:
                if "," in method:
                    raise InputError(f"method is '{method}', expected one name or a list; write [{method}]")
                raise unknown("probe method", method, probe_methods)
        for method in dict.fromkeys([*self.methods, *map(table_probe, self.methods)]):
            self.probe(method).check(self.train_sentences)

    @property
    def methods(self) -> list[str]:
        """The names of the chosen probes."""
        return [self.method] if isinstance(self.method, str) else self.method

    def probe(self, method: str) -> ProbeMethod:
        """The probe of this name with its settings.

        Args:
            method: the name.

        Returns:
            The probe.

        Raises:
            InputError: for a setting that the probe refuses.
        """
        made: ProbeMethod = chosen(self, method)
        return made

    def extraction(self, cache: str | None = None) -> Extraction:
        """How features are kept.

        Args:
            cache: directory for features that do not fit in memory.

        Returns:
            Projection, precision and storage.

        Raises:
            InputError: for an invalid projection or precision, and a directory that does not exist.
        """
        return Extraction(self.projection, self.precision, FeatureStorage(cache))

    @property
    def samples(self) -> Samples:
        """The sentences of each repeat."""
        return Samples(self.train_sentences, self.test_sentences, self.seeds, self.seed)

    def settings(self, method: str, choice: FeatureChoice | None = None) -> dict[str, Any]:
        """The settings that identify a row of this probe: all on which its accuracy depends, and no others."""
        where: dict[str, Any] = asdict(choice) if choice else {}
        if not is_model_probe(method):
            where |= {
                "projection": self.projection,
                "precision": None if self.precision == "float32" else self.precision,
            }
        where = {name: value for name, value in where.items() if value is not None}
        return asdict(self.samples) | self.probe(method).row_settings() | where

    def choices(self, layers: int, length: int) -> list[FeatureChoice]:
        """Lists the features that the probes read.

        Args:
            layers: the number of layers of the model.
            length: the longest sentence of the language, in words.

        Returns:
            One choice, or one for each layer and position if the configuration says `all`.

        Raises:
            InputError: for a layer or position that does not exist.
        """
        asked = {}
        for name, first, last in (("layer", 0, layers), ("position", 1, length)):
            value = getattr(self, name)
            if isinstance(value, int) and not first <= value <= last:
                raise InputError(f"{name} is {value}, expected {first} to {last} or all; correct it")
            asked[name] = list(range(first, last + 1)) if value == "all" else [value]
        return [FeatureChoice(layer, position) for layer in asked["layer"] for position in asked["position"]]


def table_probe(method: str) -> str:
    """The name of the probe that measures the look-up table for comparison with this probe."""
    return method if reads_table(method) else TABLE_PROBE
