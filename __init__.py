"""satlab: languages with exactly known conditionals, models trained to match them, and measures that compare models."""

__version__ = "0.1.0"
