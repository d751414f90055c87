"""Blind estimation: what happened to a recording before it came to us, each answer with its uncertainty.

:mod:`survey` looks at an exhibit once and holds all answers; :mod:`proposal` draws the conclusions (forward
operator, noise, recipe). Every other module is one estimator. How well each works is measured in
docs/estimation.md; the stated intervals are adjusted so that they cover what they say.
"""
