"""A real S3 store from a package, moto, beside the stand-in of `unit/checks/s3_server.py`.

What the protocol decides is tried on it; what a server may do wrong, the stand-in does on demand.
"""
