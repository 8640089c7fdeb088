"""Deep synthetic grammars as in Allen-Zhu and Li, *Physics of Language Models: Part 1* (2023, A.1): levels of a few symbols.

Every rule leads from one level to the next, all rules of a symbol are equally likely, and the last level's give words. With
rules of two or three symbols and six levels of them, sentences have hundreds of words, and are ambiguous.
"""

from collections.abc import Mapping, Sequence

import torch
from nltk.grammar import Nonterminal, ProbabilisticProduction

from ...errors import InputError
from ...randomness import random_stream
from ..grammar import check
from ..language import Language
from ..pcfg import PCFG
