"""What a fitted mixture says of rows, and of its own components."""
