"""Disclosure: one exhibit's or case's material as a BagIt bag that verifies by itself (docs/formats/bundle.md).

``names``, ``bag`` and ``zipform`` define the format and are light: the verifier shares them with the writer.
"""
