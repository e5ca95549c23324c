"""The command line: its commands, and the signals that end them."""
