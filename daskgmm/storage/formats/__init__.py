"""The formats of what a job writes."""
