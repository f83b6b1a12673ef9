"""The documentation: its generated references, and its site."""
