"""What an earlier operator left on an API server, for tests in which the present one takes over."""
