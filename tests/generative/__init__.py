"""Measurements on engines that invent; the tests of their machinery need neither photographs nor fetched weights."""
