"""Import paths of 1.x."""
