"""Formulas in, filled arrays out: the loop nests of a cube, compiled and run.

A sweep passes through the files in this order, and they are best read in it:

1. `nests` splits the metrics that are required by their dims: one nest for each set of dims.
2. `codegen` writes the text of one nest; `accumulate` has what a reduction adds to it.
3. `compile` turns the text into a compiled function, and keeps it on disk.
4. `run` runs one nest on arrays, shared between the cores; a small one in plain Python.
5. `partition` finds parts of the grid that fit into `memory`, which is kept from call to call;
   `output_arrays` has the arrays of the cube itself.
6. `evaluate` does all of this in one call; `dask_blocks` does it later, block by block.

`limits` holds every number that these decide by.  Nothing here knows labels, units or the
catalogue: `prophet_xr.grid` puts them on what comes out.
"""
