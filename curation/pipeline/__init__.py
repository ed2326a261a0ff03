"""The workspace as commands see it: curate.toml, the store, the chain run as far as asked."""
