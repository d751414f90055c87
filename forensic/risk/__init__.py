"""Risk map, first version: where an enhanced picture says more than its input supports.

UNCALIBRATED: the numbers are grey levels and engineering thresholds, not probabilities of error.
``docs/risk-map.md`` is the written form. Heavy imports live in the modules that need them.
"""
