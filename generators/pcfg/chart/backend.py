"""Chooses the chart passes for a device."""

from .compiled import CompiledCharts
from .passes import ChartPasses
from .tensor import InsideTables, TensorCharts


def chart_backend(tables: InsideTables) -> ChartPasses:
    """The compiled passes for tables on a CPU, and the passes over tensors for other devices."""
    return (CompiledCharts if tables.closure.device.type == "cpu" else TensorCharts)(tables)
