"""The stages of the chain, one file each: what is loaded, what is computed, which columns come out."""
