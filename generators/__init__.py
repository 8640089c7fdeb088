"""Languages with known truth: exact probabilities, samples, tasks and corpora."""

from .families.layered import layered_pcfg
from .families.random_hmm import random_hmm
from .hmm import HMM
from .language import Language
from .load import load_language, preset_names
from .pcfg import PCFG
from .sentences import Sentences
from .tasks import Span, Task

__all__ = [
    "HMM",
    "PCFG",
    "Language",
    "Sentences",
    "Span",
    "Task",
    "layered_pcfg",
    "load_language",
    "preset_names",
    "random_hmm",
]
