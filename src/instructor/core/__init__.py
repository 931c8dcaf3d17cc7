"""Import paths that upstream's users know; the code lives one level up."""
