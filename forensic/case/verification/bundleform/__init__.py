"""The form of a disclosure bundle: names, bag, archive, description. What writes one and what verifies one share it."""
