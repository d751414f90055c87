"""Refinement of a multi-frame fusion by a network that weighs it against what another makes of single frames."""
