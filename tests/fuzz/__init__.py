"""Fuzz campaign: changed files of every kind that the program reads. Nothing but success or a refusal by code.

``make fuzz N=100000`` or ``python -m tests.fuzz N`` for more; ``tests/fuzz/test_campaign.py`` is the share that runs
with every test run. Inputs follow from their kind and number; docs/media.md and docs/threat-model.md say what counts.
"""
