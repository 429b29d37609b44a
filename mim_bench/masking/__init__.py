"""Masks as pure functions of a grid and a random generator. True = hidden."""
