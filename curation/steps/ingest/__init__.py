"""Records and images read, checked and hashed; each distinct image once."""
