"""Classical multi-frame super-resolution: many recorded frames, one picture, no learned prior."""
