"""Probabilistic context-free grammars, cut at a length and renormalised.

    p(x) = sum over trees t of x of prod_{rules in t} p(rule)  /  P(T <= max_length)

Z is the inside algorithm (Baker 1979), its gradient the outside algorithm (Eisner 2016).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import torch
import yaml
from torch import Tensor

from ...errors import InputError, unknown, whole_number
from ..kernels.chart import next_leaves
from ..language import MEMORY_BUDGET
from ..latent.language import LatentLanguage
from ..sentences import Sentences
from .chart.backend import chart_backend
from .chart.log_partition import LogPartition
from .chart.prefix import walks_to
from .chart.tensor import START, InsideTables
from .distribution_of_lengths import length_log_prob
from .grammar import Grammar, binarise, check, read_text
from .notation import NLTK_TOLERANCE
from .reduced import longest_sentence, reduced
from .sampler import DerivationSampler
from .span import Span, published_spans

if TYPE_CHECKING:
    import nltk

DEFAULT_MAX_LENGTH = 32
"""Where a grammar has sentences of any length and nothing else is said (Liu et al. 2022, A.1)."""

MOST_WORDS = 4096
"""The longest sentence of a grammar: its chart has about 8 million spans."""

MOST_UNARY_STEPS = 1000
"""How often a symbol may come back, on average, in one chain of unary rules; trees beyond that are no trees to look at."""


def bounded(grammar: Grammar, max_length: int | None) -> tuple[Grammar, int]:
    """The grammar without symbols useless within max_length words, and that number; see `PCFG`."""
    if max_length is None:
        longest = longest_sentence(grammar)
        max_length = int(longest) if longest < torch.inf else DEFAULT_MAX_LENGTH
    max_length = whole_number("max_length", max_length)
    if not 1 <= max_length <= MOST_WORDS:
        raise InputError(f"max_length is {max_length}, expected 1 to {MOST_WORDS}; choose another")
    return reduced(grammar, max_length), max_length


class PCFG(LatentLanguage):
    """The language of a checked grammar, over sentences of at most max_length words.

    max_length=None takes the longest sentence where the grammar has one, else 32. spans: task name -> Span; as published,
    A is the whole sentence, B its first 4 words, C its first 2, unless given. lengths: length -> weight replaces the
    grammar's own distribution of lengths, p(x) = weight(T) p(x | T), exactly.

    Scores are exact to rounding as long as no rule has a probability below about 1e-100: within a span, what is 1e290 times
    less likely than the best may be lost.

    Nonterminals that the start does not lead to, or that cannot finish within max_length, are removed with one warning.
    Raises InputError for a max_length above MOST_WORDS, where no sentence has at most max_length words, and for a wanted
    length that no sentence has.
    """

    def __init__(
        self,
        grammar: Grammar,
        max_length: int | None = None,
        spans: Mapping[str, Span] | None = None,
        lengths: Mapping[int, float] | None = None,
    ) -> None:
        self.grammar, self.max_length = bounded(grammar, max_length)
        self.rules = binarise(self.grammar)
        self.symbols, self.words = self.rules.symbols, self.rules.words
        self.use_charts_of(InsideTables(self.rules, self.max_length))
        self.emission = self.tables.emission
        visits, place = self.tables.closure.flatten().max(0)
        if visits > MOST_UNARY_STEPS:
            symbol = self.symbols[int(place) % len(self.symbols)]
            raise InputError(
                f"the nonterminal {symbol} comes back {float(visits):.3g} times on average by unary rules alone, expected at "
                f"most {MOST_UNARY_STEPS}: give the cycle a likelier way out"
            )
        worth, log_scale = self.tables.yields()
        self.log_mass = torch.from_numpy(worth[:, 0]).log() + torch.from_numpy(log_scale)
        self.lengths = dict(lengths) if lengths is not None else None
        self.length_log_prob = length_log_prob(self.log_mass, self.lengths)
        self.sampler = DerivationSampler(self.rules, self.tables, self.length_log_prob.exp())
        if spans is None:
            spans = published_spans(self.rules, self.tables.feasible, self.length_log_prob)
        self.spans = dict(spans)
        for span in self.spans.values():
            self.symbol_ids(span.symbols)

    @classmethod
    def from_string(cls, text: str, max_length: int | None = None) -> "PCFG":
        """The grammar in NLTK's notation, unary rules, long rules and words within rules allowed.

        Rules of a symbol that miss one by less than 1e-3 (in what nltk prints: 1e-2) are renormalised with a warning.
        Raises InputError for a line that is no rule, rules that do not sum to one, empty rules, a symbol that is not
        defined and a start symbol without sentences.
        """
        return cls(read_text(text), max_length)

    @classmethod
    def from_nltk(cls, grammar: "nltk.PCFG", max_length: int | None = None) -> "PCFG":
        """The language of an nltk.PCFG; raises as `from_string` does, with nltk's tolerance for sums."""
        return cls(check(grammar.start(), grammar.productions(), NLTK_TOLERANCE), max_length)

    def to_nltk(self) -> "nltk.PCFG":
        """The grammar as an nltk.PCFG (which knows no bound on the length)."""
        import nltk

        return nltk.PCFG(self.grammar.start, list(self.grammar.productions))

    def to(self, device: torch.device | str) -> Self:
        moved = super().to(device)
        moved.use_charts_of(moved.tables)
        return moved

    def use_charts_of(self, tables: InsideTables) -> None:
        """Chooses the passes for the device that the tables are on."""
        self.tables, self.charts = tables, chart_backend(tables)
        self.together = self.charts.together

    # ---- exact quantities

    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log of the inside score of the start symbol over the whole sentence; leaf_scores [n, T, leaf symbols]."""
        log_z: Tensor = LogPartition.apply(leaf_scores, self.charts, lengths)
        return log_z

    def log_normaliser(self, length: int) -> Tensor:
        return self.log_mass[length] - self.length_log_prob[length]

    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """By one inside and one outside pass."""
        log_z, margins, _ = self.charts.leaf_margins(leaf_scores, lengths)
        return log_z, margins

    def floats_per_sentence(self, length: int) -> int:
        return length * (3 * len(self.emission) + 2 * self.vocab_size) + self.charts.floats_per_sentence(length)

    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Language`: exact under the bound on the length, by one inside and one outside pass, on the CPU."""
        tokens, lengths = self.checked_beginnings(tokens, lengths)
        n, longest = tokens.shape
        emission, plan = self.emission.cpu(), self.tables.beginnings_plan()
        weights = (self.length_log_prob - self.log_mass).nan_to_num(-torch.inf, neginf=-torch.inf).cpu().numpy()
        hidden = self.tables.hidden_chart(plan)
        out = torch.zeros(n, longest + 1, self.vocab_size + 1, dtype=torch.float64)
        for rows in torch.arange(n).split(self.chunk_size(self.max_length)):
            scores = emission.T[tokens[rows].cpu().clamp(0, self.vocab_size - 1)].contiguous().numpy()
            read = lengths[rows].cpu().numpy()
            log_end, margins, log_scale = map(torch.from_numpy, next_leaves(plan, hidden, scores, read, weights))
            words = margins @ emission
            log_words = words.sum(2).log() + log_scale
            log_total = torch.logaddexp(log_end, log_words)
            inside = torch.arange(longest + 1) <= lengths[rows, None].cpu()
            self._check_beginnings(inside & (log_total == -torch.inf), rows)
            share = (log_scale - log_total).exp()[..., None]
            both = torch.cat([words * share, (log_end - log_total).exp()[..., None]], 2)
            out[rows] = torch.where(inside[..., None], both, 0.0)
        return out.to(self.device)

    def _check_beginnings(self, impossible: Tensor, rows: Tensor) -> None:
        if bool(impossible.any()):
            row, word = impossible.nonzero()[0].tolist()
            raise InputError(
                f"sentence {int(rows[row])}: no sentence of the language begins with its first {word} words"
            )

    def inside_scores(self, tokens: Tensor, widths: Tensor) -> Tensor:
        """log P(A =>* x_1 .. x_w) [n, symbols] for the prefix of w = widths [n] words; -inf where A cannot yield it."""
        tokens, widths, hidden = self.checked(tokens, widths, None)
        out = torch.full((len(tokens), len(self.symbols)), -torch.inf, dtype=torch.float64, device=self.device)
        for rows, width in self.chunks(widths):
            scores = self.leaf_scores(tokens[rows, :width], hidden[rows, :width])
            out[rows] = self.charts.prefix_scores(scores)
        return out

    def chart_work(self) -> float:
        """The mean over sentences of how many products of two symbols' scores one inside pass forms."""
        able, left, right = self.tables.feasible, self.tables.left, self.tables.right
        at_width = torch.zeros_like(self.length_log_prob)
        for width in range(2, self.max_length + 1):
            at_width[width] = (able[1:width][:, left] & able[1:width].flip(0)[:, right]).sum()
        # A sentence of T words has T - w + 1 spans of w words.
        return float(self.length_log_prob.exp() @ at_width.cumsum(0).cumsum(0))

    def posterior(self, tokens: Tensor, lengths: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """p(a node of the tree spans words t .. t+w-1 and its topmost symbol is A | the visible words).

        [n, T, T, symbols] float64, indexed by start t, width w - 1 and symbol; symbols beyond `rules.num_original` are
        those that binarisation added. Raises as `conditional`.
        """
        tokens, lengths, hidden = self.checked(tokens, lengths, hidden)
        n, longest = tokens.shape
        out = torch.zeros(n, longest, longest, len(self.symbols), dtype=torch.float64, device=self.device)
        for some, length, all_scores in self.evidence(tokens, lengths, hidden):
            size = max(1, MEMORY_BUDGET // self.tables.floats_per_sentence(length))
            for rows, scores in zip(some.split(size), all_scores.split(size), strict=True):
                inside = self.tables.inside(scores)
                log_z = inside.log_prefix(length, START)[:, 0]
                self.check_possible(log_z, rows)
                outside = self.tables.outside(inside, length)
                for width, (beta, beta_scale) in inside.items():
                    alpha, alpha_scale = outside[width]
                    scaled = alpha * (alpha_scale + beta_scale - log_z[:, None]).exp()[..., None]
                    out[rows, : length - width + 1, width - 1] = scaled * beta
        return out

    def prefix_posteriors(
        self, tokens: Tensor, lengths: Tensor, asked: Sequence[tuple[Tensor, Tensor]]
    ) -> list[Tensor]:  # fmt: skip
        """p(the topmost of `symbols` [m] over the first `widths` [n] words is c | the words), for each pair asked.

        A pair is (widths, symbols) and gives [n, m] float64, all from one chart a sentence: the outside score of what
        enters the span, through unary rules that pass none of the symbols, to c. Raises as `conditional`.
        """
        tokens, lengths, hidden = self.checked(tokens, lengths, None)
        self.check_lengths(lengths)
        widths = torch.stack([width for width, _ in asked], 1)
        out = [torch.zeros(len(tokens), len(symbols), dtype=torch.float64, device=self.device) for _, symbols in asked]
        walks = [walks_to(self.tables, symbols) for _, symbols in asked]
        for rows, scores, of in self.side_by_side(tokens, lengths, hidden):
            log_z, alpha, beta = self.charts.prefix_factors(scores, of, widths[rows])
            self.check_possible(log_z, rows)
            for i, (_, symbols) in enumerate(asked):
                out[i][rows] = (alpha[:, i] @ walks[i]) * beta[:, i][:, symbols]
        return out

    # ---- samples and tasks

    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool = True) -> Sentences:
        """num_sentences sentences, padded to max_length.

        latents["nodes"], [n, nodes, 3]: the tree of each, as (start, width, symbol) in preorder, padded with -1.
        """
        tokens, lengths, trees = self.sampler.draw(num_sentences, generator, latents)
        return Sentences(tokens, lengths, {} if trees is None else {"nodes": trees})

    def symbol_ids(self, names: Iterable[str]) -> Tensor:
        """The numbers of the named symbols. Raises InputError for a name that the grammar lacks."""
        own = self.symbols[: self.rules.num_original]
        # Where binarisation made a name that the grammar has too, the grammar's own counts.
        number = {name: i for i, name in enumerate(self.symbols)} | {name: i for i, name in enumerate(own)}
        names = list(names)
        for name in names:
            if name not in number:
                raise unknown("nonterminal", name, own)
        return torch.tensor([number[name] for name in names], dtype=torch.long, device=self.device)

    suffix = ".yaml"

    def save(self, path: str) -> str:
        """Writes path.yaml: family, max_length, lengths, tasks and the grammar in NLTK's notation."""
        spans = {name: {"words": span.words, "symbols": list(span.symbols)} for name, span in self.spans.items()}
        lengths = {} if self.lengths is None else {"lengths": self.lengths}
        keys = {"family": "pcfg", "max_length": self.max_length, **lengths, "tasks": spans}
        head = yaml.safe_dump(keys, sort_keys=False)
        body = "".join(f"  {line}\n" for line in self.grammar.to_text().split("\n")[:-1])
        with open(path + self.suffix, "w", encoding="utf-8") as file:
            file.write(f"{head}grammar: |\n{body}")
        return path + self.suffix
