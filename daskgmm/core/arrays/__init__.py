"""Arrays: their types, their blocks, and how messages name their rows and columns."""
