"""Calibration of the risk map's LOW: from measured recordings to a threshold with a tested error rate, or none.

The unit is an independent recording, never a pixel. See docs/calibration.md.
"""
