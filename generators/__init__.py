"""Languages whose probabilities are known exactly: conditionals, samples, tasks and corpora."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .families.cfg3 import cfg3
    from .families.hierarchy import random_hierarchy
    from .families.layered import layered_pcfg
    from .families.random_hmm import random_hmm
    from .families.random_pcfg import random_pcfg
    from .families.uniform_cfg import uniform_cfg
    from .hmm.language import HMM
    from .language import Language
    from .load import load_language, preset_names
    from .pcfg.language import PCFG
    from .pcfg.span import Span
    from .sentences import Sentences
    from .tasks import Task, TaskKind, find_task, task_kinds

__all__ = [
    "HMM",
    "PCFG",
    "Language",
    "Sentences",
    "Span",
    "Task",
    "TaskKind",
    "cfg3",
    "find_task",
    "layered_pcfg",
    "load_language",
    "preset_names",
    "random_hierarchy",
    "random_hmm",
    "random_pcfg",
    "task_kinds",
    "uniform_cfg",
]

__getattr__ = lazily(__name__, __file__)
