"""Damaged pictures: detection, filling from neighbouring frames, inpainting; with damage of known place and truth."""
