"""Search: what is nearest to a text, a picture or a sample. Reads the store; knows no settings."""
