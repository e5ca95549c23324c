"""Reports for people to read. Computing code does not know that they exist."""
