"""Probe what a causal network from local files says about labelled texts: f, Phi p_f, p_f and some of its words.

One JSON line for each representation and number. Features are kept, and interrupted work goes on where it was.
"""

from pathlib import Path

from ..arguments import OUT_HELP, Arguments, Given, settings_of
from .probe import CACHE_HELP

HF_HELP = "directory with config.json, weights as safetensors and a tokenizer; nothing is fetched"
TEXTS_HELP = "labelled texts, .tsv, .csv or .parquet, such as SST-2, QNLI and AG News"
TEST_HELP = "as --texts, to test on; a share of --texts unless given"


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab features`."""
    arguments.add_argument("--hf", required=True, help=HF_HELP)
    arguments.add_argument("--texts", required=True, help=TEXTS_HELP)
    arguments.add_argument("--test", type=str | None, help=TEST_HELP)
    arguments.add_argument("--out", required=True, help=OUT_HELP)
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--cache", type=str | None, help=CACHE_HELP)
    arguments.add_settings("lab.measurements.text_config", "TextConfig")


def run(given: Given) -> None:
    """Prints the rows."""
    from ....generators.labelled.texts import read_labelled
    from ....probes.feature_store import FeatureStorage
    from ....probes.texts.reader import TextReader
    from ....probes.texts.representations import NAMES
    from ....system.new_folder import made_for
    from ....train.parallel.world import World
    from ...measurements.text_config import TextConfig
    from ...measurements.texts import ROWS, TextProbes
    from ...messages import say_next
    from ..output import print_row
    from ..progress import progress_bar

    config, storage = settings_of(TextConfig, given), FeatureStorage(given.cache)
    device = World().device(given.device)
    train = read_labelled(given.texts, config.label, config.columns)
    test = None if given.test is None else read_labelled(given.test, config.label, config.columns, train.classes)
    reader = TextReader(given.hf, device, config.longest)
    probes = TextProbes(reader, train, test, config, Path(given.out), storage)
    fitted = 1 + len(NAMES) * len(probes.prompts)
    with made_for(probes.out), progress_bar(probes.total, "texts") as texts, progress_bar(fitted, "probes") as fits:
        for row in probes.rows(texts.update, fits.update):
            print_row(row)
    say_next(probes.out / ROWS)
