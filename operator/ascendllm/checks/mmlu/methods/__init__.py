"""The ways to ask for a letter and to read it, one file each, and how one is chosen."""
