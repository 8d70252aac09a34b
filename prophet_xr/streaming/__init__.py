"""Cubes larger than memory, written slab by slab."""
