"""A prefix into a folder by Amazon's own client, as its documents say; with `requirements.txt`.

`download_file` for each object (boto3's developer guide, Downloading files): its managed transfer
reads ranges of 8 MB, ten at a time. One manager for all files, as of `aws s3 cp --recursive`, is no
faster.
"""

from __future__ import annotations

import sys
from pathlib import Path

import boto3


def main(folder: str, url: str, region: str, bucket: str, prefix: str, *left_out: str) -> None:
    client = boto3.client("s3", region, endpoint_url=url)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for item in (item for page in pages for item in page["Contents"]):
        if not item["Key"].endswith(left_out):
            target = Path(folder, item["Key"].removeprefix(prefix))
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, item["Key"], str(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
