"""Vectors of images, texts and samples; gradients, and vectors of a file."""
