"""Objects of earlier versions of the operator, and how they are recorded and restored."""
