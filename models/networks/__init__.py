"""The networks. A module in this folder registers the networks that it defines."""
