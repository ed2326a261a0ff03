"""Wrappers around open_clip and transformers, the built-in models and what trains them."""
