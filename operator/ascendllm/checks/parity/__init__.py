"""Token by token against a reference that another server, or transformers, recorded."""
