"""The exact algorithms as compiled code (numba), one file each; this folder is all that machine code depends on."""
