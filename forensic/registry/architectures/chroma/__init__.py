"""Restoration of the two chroma planes of an enlarged 4:2:0 picture, guided by its luma."""
