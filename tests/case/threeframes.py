"""A recipe with the stage of ``multi`` and three frames for nine: as quick as it can be, and as good for tests."""

from __future__ import annotations

THREE_FRAMES = """
name = "three-frames"
title = "The stage of 'multi' with fewer frames"
why = "As quick as it can be."
[[stage]]
name = "refined-fusion"
why = "fuses three frames and refines the result"
parameters = { model = "multi-x4", frames = 1, split_half = false }
"""
