"""ResidualShift: a diffusion model of few steps that goes from an enlarged picture to one with detail."""
