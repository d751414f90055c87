"""forensic: evidence-grade video enhancement whose every step can be checked by somebody else."""

__version__ = "0.3.0.dev1"
