"""Kernels on vectors: normalise, cluster, find near neighbours, balance. Arrays in, arrays out."""
