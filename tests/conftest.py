"""Shared by all tests: one thread, so that run times and rounding do not depend on the machine."""

import torch

torch.set_num_threads(1)
