"""What is the case: the cluster's objects read into typed, immutable records.

Nothing here asks a cluster or a clock, and no object that somebody else wrote can make it raise:
what cannot be read becomes a record that says so.
"""
