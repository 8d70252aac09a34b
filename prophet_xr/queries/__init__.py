"""Questions over grids too large to store: the same formulas, reduced slab by slab."""
