"""The document's sections: one module each, from a part of the status to blocks."""
