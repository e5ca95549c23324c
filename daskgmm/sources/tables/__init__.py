"""Tables of parquet and CSV files."""
