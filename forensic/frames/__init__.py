"""Frames: sample layouts, colour description, timing, the stage-class lattice."""
