"""Measures of fidelity and of time, used by the benchmark and by validation."""
