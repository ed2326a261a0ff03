"""What is wrong with a text that a model may have written: a detector a file. Strings in, findings out."""
