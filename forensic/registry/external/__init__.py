"""A laboratory's own models, outside the installation: enrolled with their digests, run as generative."""
