"""Masked autoencoder that fills what is missing in a window of a picture."""
