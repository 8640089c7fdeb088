"""What a benchmark ran on."""

import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor()


def machine(device: str) -> dict[str, Any]:
    chip = processor() if device == "cpu" else torch.cuda.get_device_name()
    return {
        "device": device,
        "chip": chip,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
