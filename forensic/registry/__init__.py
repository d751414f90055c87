"""The learned-model door: cards, digests and weights. Nothing enters without all three."""
