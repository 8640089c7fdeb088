"""The exact algorithms as numba kernels. The compiled code depends only on the files in this folder."""
