"""Languages of probabilistic context-free grammars, renormalised over sentences of at most max_length words.

    p(x) = sum over trees t of x of prod_{rules in t} p(rule)  /  P(T <= max_length)

The inside algorithm computes Z (Baker 1979), the outside algorithm its gradient (Eisner 2016).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import torch
import yaml
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, unknown
from ..kernels.beginnings import next_leaves
from ..language import MEMORY_BUDGET
from ..latent.language import LatentLanguage
from ..sentences import Sentences
from ..vocabulary import warn_of_lookalikes
from .chart.backend import chart_backend
from .chart.log_partition import LogPartition
from .chart.prefix import walks_to
from .chart.tensor import START, InsideTables
from .distribution_of_lengths import length_log_prob
from .grammar import Grammar, binarise, read_nltk, read_text
from .reduced import bounded, longest_sentence, warn_of_cut
from .rules import to_nltk
from .sampler import DerivationSampler
from .span import Span, published_spans

if TYPE_CHECKING:
    import nltk

MOST_UNARY_STEPS = 1000
"""The largest expected number of occurrences of a symbol in one chain of unary rules."""


class PCFG(LatentLanguage):
    """The language of a checked grammar, over sentences of at most max_length words.

    Scores are exact to rounding unless a rule has a probability below about 1e-100: a score that is 1e290 times smaller
    than the largest of its span may be lost. Nonterminals that the start symbol does not reach, or that yield no string
    of at most max_length words, are removed with one warning.

    Args:
        grammar: a checked grammar.
        max_length: the largest number of words in a sentence; None means the longest sentence of the grammar, or
            DEFAULT_MAX_LENGTH if there is none.
        spans: task name -> Span; by default those of `published_spans`.
        lengths: length -> weight. The normalised weights replace the grammar's own p(T) in p(x) = p(T) p(x | T).

    Raises:
        InputError: for a max_length below 1 or above MOST_WORDS, a grammar without sentences of at most that length, a
            weight for a length that no sentence has, an unknown symbol in a span, and cycles of unary rules that almost
            never end.
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
        warn_of_lookalikes(self.words)
        self.use_charts_of(InsideTables(self.rules, self.max_length))
        self.emission = self.tables.emission
        visits, place = self.tables.closure.flatten().max(0)
        if visits > MOST_UNARY_STEPS:
            symbol = self.symbols[int(place) % len(self.symbols)]
            raise InputError(
                f"the nonterminal {symbol} returns to itself {float(visits):.3g} times on average through unary "
                f"rules, expected at most {MOST_UNARY_STEPS}; raise the probabilities of the rules that leave the "
                "cycle"
            )
        worth, log_scale = self.tables.yields()
        self.log_mass = torch.from_numpy(worth[:, 0]).log() + torch.from_numpy(log_scale)
        if max_length is None and longest_sentence(self.grammar) == torch.inf:
            warn_of_cut(float(self.log_mass.exp().sum()))
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
        """Reads a grammar in NLTK's notation or the plain form. Rules may be unary, long, or mix words and symbols.

        If a symbol's probabilities sum to one only within 1e-3 (1e-2 in what nltk prints), they are renormalised, with
        a warning.

        Returns:
            The language of the grammar.

        Raises:
            InputError: for a line that is not a rule, probabilities that do not sum to one, an empty rule, an undefined
                symbol, and a start symbol without sentences.

        Example:
            >>> yes = PCFG.from_string("S -> S 'and' S [0.25] | 'yes' [0.75]", max_length=3)
            >>> yes.words
            ('and', 'yes')
            >>> yes.length_log_prob.exp()  # 0.75 and 0.25 * 0.75^2, over their sum
            tensor([0.0000, 0.8421, 0.0000, 0.1579], dtype=torch.float64)
        """
        if not isinstance(text, str):
            raise InputError(
                f"grammar is of type {type(text).__name__}, expected a string; for an nltk.PCFG use from_nltk"
            )
        return cls(read_text(text), max_length)

    @classmethod
    def from_nltk(cls, grammar: "nltk.PCFG", max_length: int | None = None) -> "PCFG":
        """The language of an nltk.PCFG. Raises as `from_string`, with nltk's tolerance for sums."""
        return cls(read_nltk(grammar), max_length)

    def to_nltk(self) -> "nltk.PCFG":
        """The grammar as an nltk.PCFG, which has no bound on the length."""
        import nltk

        rules = [to_nltk(rule) for rule in self.grammar.productions]
        return nltk.PCFG(nltk.Nonterminal(self.grammar.start.symbol()), rules)

    @override
    def to(self, device: torch.device | str) -> Self:
        moved = super().to(device)
        moved.use_charts_of(moved.tables)
        return moved

    def use_charts_of(self, tables: InsideTables) -> None:
        """Chooses the passes for the device of the tables."""
        self.tables, self.charts = tables, chart_backend(tables)
        self.together = self.charts.together

    # ---- exact quantities

    @override
    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log of the start symbol's inside score over the whole sentence [n]; leaf_scores [n, T, leaf symbols]."""
        # torch does not annotate Function.apply.
        log_z: Tensor = LogPartition.apply(leaf_scores, self.charts, lengths)  # type: ignore[no-untyped-call]
        return log_z

    @override
    def log_normaliser(self, length: int) -> Tensor:
        return self.log_mass[length] - self.length_log_prob[length]

    @override
    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `LatentLanguage`; one inside and one outside pass."""
        log_z, margins, _ = self.charts.leaf_margins(leaf_scores, lengths)
        return log_z, margins

    @override
    def floats_per_sentence(self, length: int) -> int:
        return length * (3 * len(self.emission) + 2 * self.vocab_size) + self.charts.floats_per_sentence(length)

    @override
    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Language`. Exact under the bound on the length, by one inside and one outside pass, on the CPU."""
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
            where = f"sentence {int(rows[row])}"
            raise InputError(f"{where}: no sentence of the language begins with its first {word} words; correct them")

    def inside_scores(self, tokens: Tensor, widths: Tensor) -> Tensor:
        """log P(A =>* x_1 .. x_w) [n, symbols] for the first w = widths [n] words; -inf if A has no tree."""
        tokens, widths, hidden = self.checked(tokens, widths, None)
        out = torch.full((len(tokens), len(self.symbols)), -torch.inf, dtype=torch.float64, device=self.device)
        for rows, width in self.chunks(widths):
            scores = self.leaf_scores(tokens[rows, :width], hidden[rows, :width])
            out[rows] = self.charts.prefix_scores(scores)
        return out

    def chart_work(self) -> float:
        """The mean number of products of two symbols' scores in one inside pass over a sentence."""
        able, left, right = self.tables.feasible, self.tables.left, self.tables.right
        at_width = torch.zeros_like(self.length_log_prob)
        for width in range(2, self.max_length + 1):
            at_width[width] = (able[1:width][:, left] & able[1:width].flip(0)[:, right]).sum()
        # A sentence of T words has T - w + 1 spans of w words.
        return float(self.length_log_prob.exp() @ at_width.cumsum(0).cumsum(0))

    @override
    def posterior(self, tokens: Tensor, lengths: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """p(a node of the tree spans words t .. t+w-1 and its topmost symbol is A | the visible words).

        Returns:
            [n, T, T, symbols] float64, indexed by start t, width w - 1 and symbol. Binarisation added the symbols from
            `rules.num_original` on.

        Raises:
            InputError: as `conditional` does.
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
        """p(the topmost of `symbols` [m] over the first `widths` [n] words is c | the words), for each pair in `asked`.

        The outside score of a span reaches c through chains of unary rules that contain none of the symbols before c.
        One chart per sentence serves all pairs.

        Returns:
            [n, m] float64 for each pair (widths, symbols).

        Raises:
            InputError: as `conditional` does.
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

    @override
    def draw(self, num_sentences: int, generator: torch.Generator, latents: bool) -> Sentences:
        """num_sentences sentences, padded to max_length; see `Language`.

        Returns:
            The sentences. latents["nodes"] [n, nodes, 3] contains the nodes of each tree, as (start, width, symbol) in
            preorder, padded with -1.
        """
        tokens, lengths, trees = self.sampler.draw(num_sentences, generator, latents)
        return Sentences(tokens, lengths, {} if trees is None else {"nodes": trees})

    def symbol_ids(self, names: Iterable[str]) -> Tensor:
        """The numbers of the named symbols. Raises InputError for an unknown name."""
        own = self.symbols[: self.rules.num_original]
        # If a symbol of binarisation has the name of a symbol of the grammar, the name means the grammar's symbol.
        number = {name: i for i, name in enumerate(self.symbols)} | {name: i for i, name in enumerate(own)}
        names = list(names)
        for name in names:
            if name not in number:
                raise unknown("nonterminal", name, own)
        return torch.tensor([number[name] for name in names], dtype=torch.long, device=self.device)

    suffix = ".yaml"

    @override
    def write(self, path: str) -> str:
        """Writes path.yaml: family, max_length, lengths, tasks, and the grammar in NLTK's notation."""
        spans = {name: {"words": span.words, "symbols": list(span.symbols)} for name, span in self.spans.items()}
        lengths = {} if self.lengths is None else {"lengths": self.lengths}
        keys = {"family": "pcfg", "max_length": self.max_length, **lengths, "tasks": spans}
        head = yaml.safe_dump(keys, sort_keys=False)
        body = "".join(f"  {line}\n" for line in self.grammar.to_text().split("\n")[:-1])
        with open(path + self.suffix, "w", encoding="utf-8") as file:
            file.write(f"{head}grammar: |\n{body}")
        return path + self.suffix
