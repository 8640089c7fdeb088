"""The exact algorithms as numba kernels, one per file. Compiled code depends on no file outside this folder."""
