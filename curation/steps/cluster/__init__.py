"""Pseudo-skills: centres, clusters, what they are about, how good they are."""
