"""Reading objects out of S3, MinIO and Huawei's OBS.

`address` says where an object is, `signature` signs a request for it, `client` makes the request
and tries it again, `fetch` brings an object or a prefix to a local folder.
"""
