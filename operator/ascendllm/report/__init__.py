"""What people read: made from a resource's status, with nothing that is not in it."""
