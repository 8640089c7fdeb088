"""Several processes train one model: each holds all of it (DDP) or a part of it (FSDP)."""
