"""The kinds of clusters, a file each."""
