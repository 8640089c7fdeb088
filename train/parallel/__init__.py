"""Several processes that train one model: each with all of it (DDP), or with a part of it (FSDP)."""
