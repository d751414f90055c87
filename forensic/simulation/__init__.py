"""Degradation simulator: a clean scene becomes the recording a surveillance camera would make of it.

Described in docs/simulator.md. :mod:`draw` draws parameters, :mod:`simulator` applies them. It knows
the true picture and the true motion of every frame, which is what training, calibration and
measurement need; its output is test material, never evidence. Nothing heavy is imported until one
of the modules is.
"""
