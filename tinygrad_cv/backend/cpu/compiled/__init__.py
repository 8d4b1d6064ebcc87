"""What Numba compiles: the loops of the kernels, on plain arrays. Imported when first needed."""
