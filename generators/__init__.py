"""Languages with known truth: exact probabilities, samples, tasks and corpora."""

from .hmm import HMM, random_hmm
from .language import Language
from .layered import layered_pcfg
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
