"""xend: one stateful authority per Xen host."""

__version__ = "0.1.0"
