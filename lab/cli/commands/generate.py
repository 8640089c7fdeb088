"""Write sentences to disk: Parquet shards with latent variables, labels and, if wanted, the exact truth.

An interrupted corpus is continued. The same seed gives the same bytes, on however many workers.
"""

from pathlib import Path

from ..arguments import OUT_HELP, Arguments, Given, add_language

FORMAT_HELP = "parquet, or bin: one file train.bin of uint16 tokens, for trainers in the manner of nanoGPT"
WORKERS_HELP = "processes (ray: tasks) side by side, at most one a shard; unless given, all cores where that pays"
ENGINE_HELP = "local: processes of this machine; ray: an existing Ray cluster (of RAY_ADDRESS, or this machine's)"
SHARD_HELP = "sentences in a shard, on which the bytes depend; 16,384, or fewer where they are large, unless given"


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab generate`."""
    add_language(arguments)
    arguments.add_argument("--sentences", type=int, required=True, help="how many")
    arguments.add_argument("--out", required=True, help=OUT_HELP)
    arguments.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    arguments.add_flag("--truth", help="add p(x_t | the other words) at one position a sentence")
    arguments.add_argument("--format", default="parquet", help=FORMAT_HELP)
    arguments.add_argument("--workers", type=int | None, help=WORKERS_HELP)
    arguments.add_argument("--engine", default="local", help=ENGINE_HELP)
    arguments.add_argument("--shard_sentences", type=int | None, help=SHARD_HELP)


def run(given: Given) -> None:
    """Writes the corpus, or what is missing of it, and prints what it holds."""
    from ....generators import load_language
    from ....generators.corpus.writer import write_corpus
    from ...messages import command_line, say_next
    from ..output import print_row
    from ..progress import progress_bar

    language = load_language(given.language, given.max_length)
    asked = (given.sentences, Path(given.out), given.seed, given.truth, given.format)
    how = (given.workers, given.engine, given.shard_sentences)
    written = write_corpus(language, given.language, *asked, *how)
    with progress_bar(given.sentences, "sentences") as bar:
        for done in written:
            bar.update(done - bar.n)
    print_row({"out": given.out, "sentences": given.sentences, "seed": given.seed, "truth": given.truth})
    trained = [command_line("train", given.out, "--out", "RUN")] if given.format == "parquet" else []
    say_next(given.out, *trained, command_line("verify", given.out))
