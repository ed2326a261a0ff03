"""What another sample makes superfluous: neighbours, pictures that look alike, who goes."""
