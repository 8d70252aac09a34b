"""Formulas in, filled arrays out: the loop nests behind a cube, compiled and run."""
