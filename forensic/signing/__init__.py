"""Identities, X.509 certificates, DSSE envelopes and in-toto statements."""
