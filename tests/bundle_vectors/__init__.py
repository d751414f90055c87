"""Bundles on which the two verifiers must agree: sound ones, and every kind of tampering."""
