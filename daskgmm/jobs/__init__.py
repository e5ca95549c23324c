"""The commands: one file for what each does."""
