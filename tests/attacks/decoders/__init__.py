"""Decoders that misbehave, each a program for a confined child. Only test code can name one; no switch can."""
