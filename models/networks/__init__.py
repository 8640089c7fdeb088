"""The networks, a file each: a module that is put into this folder registers what it defines."""
