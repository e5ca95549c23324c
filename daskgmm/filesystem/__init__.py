"""Files and folders, local or behind URLs: where they are, retries, checksums."""
