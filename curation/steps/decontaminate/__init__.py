"""What of the pool stands in a benchmark."""
