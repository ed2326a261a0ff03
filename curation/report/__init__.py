"""What a pool shows to people: from tables to a small plain dict a section, and one page of them all."""
