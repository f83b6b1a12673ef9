"""What a user asks of each check: one module a check, and `reference`, which two of them share."""
