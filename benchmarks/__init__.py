"""Benchmarks: `python -m benchmarks.NAME [--quick] [--json]`, or `python -m benchmarks` for all of them."""
