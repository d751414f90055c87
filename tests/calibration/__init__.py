"""Makes and measures the recordings that the shipped calibrations rest on. See docs/calibration.md."""
