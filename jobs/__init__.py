"""The top floor: the command line. Imports everything below; nothing below imports it."""
