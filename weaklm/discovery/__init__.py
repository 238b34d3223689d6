"""Slices that nobody wrote where quality is low: searched on one half of the instructions, tested on the other."""

from weaklm.discovery.discover import discover_slices
from weaklm.discovery.discovered import Discovered, DiscoveredSlice

__all__ = ["Discovered", "DiscoveredSlice", "discover_slices"]
