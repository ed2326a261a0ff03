"""A local page on a pool of any size: a server on loopback, and the page that it serves (`static/`)."""
