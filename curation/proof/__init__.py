"""Does a selection train better than chance? Small students that answer held-out questions of the pool."""
