"""satlab: languages with known truth, models trained until they match it, and what tells those models apart."""

__version__ = "0.1.0"
