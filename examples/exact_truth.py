"""The exact truth of a grammar, p(x_t | the other words), beside the enumeration of all its sentences."""

# %% An English grammar with agreement across other nouns; words and trees are ambiguous
from collections import Counter
from functools import cache
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import nltk
import torch
from torch.nn.functional import normalize

from satlab.generators import PCFG

rules = nltk.PCFG.fromstring("""S -> One Is [0.6] | Many Are [0.4]
One -> 'the' 'dog' [0.3] | 'a' 'dog' [0.2] | 'the' 'sheep' [0.1] | 'a' 'sheep' [0.1] | One PP [0.3]
Many -> 'the' 'dogs' [0.4] | 'the' 'sheep' [0.3] | Many PP [0.3]
PP -> 'near' One [0.4] | 'near' Many [0.2] | 'with' One [0.2] | 'with' Many [0.2]
Is -> 'sees' One [0.6] | 'sees' Many [0.4]
Are -> 'see' One [0.6] | 'see' Many [0.4]""")
language, text = PCFG.from_nltk(rules, 8), ["the", "sheep", "near", "a", "dog", "see", "the", "sheep"]
words = language.words
exact = language.conditional(torch.tensor([[words.index(word) for word in text]]))[0]


# %% By brute force, from nltk's rules alone
@cache
def strings(symbol, n):
    """{string of n words: its probability, summed over its trees}."""
    if isinstance(symbol, str):
        return {(symbol,): 1.0} if n == 1 else {}
    found = Counter()
    for rule in rules.productions(lhs=symbol):
        first, *second = rule.rhs()
        for cut in range(1, n) if second else [n]:
            ends = strings(*second, n - cut) if second else {(): 1.0}
            for (start, p), (end, q) in product(strings(first, cut).items(), ends.items()):
                found[start + end] += rule.prob() * p * q
    return found


every = strings(rules.start(), 8)
joint = [[every[*text[:t], v, *text[t + 1 :]] for v in words] for t in range(8)]
counted = normalize(torch.tensor(joint, dtype=torch.float64), p=1)
gap = float((exact - counted).abs().max())

# %% Both as heat maps
figure, panels = plt.subplots(1, 2, sharey=True, figsize=(8, 4), layout="constrained")
named = {"one inside and one outside pass": exact, f"enumeration of {len(every)} sentences": counted}
for panel, (title, table) in zip(panels, named.items(), strict=True):
    picture = panel.imshow(table.T, vmin=0, vmax=1, cmap="Blues")
    panel.plot(range(8), [words.index(word) for word in text], "s", color="C1", markersize=4)
    panel.set(title=title, yticks=range(len(words)), yticklabels=words, xticks=range(8), xticklabels=text)
    panel.tick_params("x", rotation=45)
figure.colorbar(picture, ax=panels, label="p(x_t = v | the other words)", shrink=0.8)
figure.suptitle(f"exact, so without error bars; largest difference {gap:.0e}; square: the word at position t")
Path("results/gallery").mkdir(parents=True, exist_ok=True)
figure.savefig("results/gallery/exact_truth.png")
