"""Reading objects out of S3, MinIO and Huawei's OBS, with obstore.

`address` says where an object is, `credentials` who asks, `bucket` lists and reads, `refusal` tells
what went wrong, `fetch` brings an object or a prefix to a local folder.
"""
