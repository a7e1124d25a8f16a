"""The model: pure values, no input or output."""
