"""Copies a step's checkpoint and state file to an S3 store, for jobs whose folder ends with them.

Two environment variables, which the Snakefile sets, turn it on: KD_RESULTS, the folder of all
outputs, and KD_BUCKET, such as `s3://bucket/prefix/results`, where the copies lie under the same
names. The credentials and the endpoint are those of boto3 (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL).

A store that does not answer ends no training. The job says so, and goes on.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from kd.runtime.files import aside

BUCKET = "KD_BUCKET"
RESULTS = "KD_RESULTS"


def put(path: Path) -> None:
    """Copy a file to the store."""
    _quietly(path, "not copied to the store", lambda s3, *at: s3.upload_file(str(path), *at))


def fetch(path: Path) -> None:
    """Copy a file from the store, if it is there and not here."""

    def copy(s3: Any, bucket: str, key: str) -> None:
        temporary = aside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, key, str(temporary))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    if not path.is_file():
        _quietly(path, "not fetched from the store", copy)


def remove(path: Path) -> None:
    """Remove the copy of a file from the store."""
    _quietly(
        path,
        "not removed from the store",
        lambda s3, bucket, key: s3.delete_object(Bucket=bucket, Key=key),
    )


def _quietly(path: Path, trouble: str, act: Callable[[Any, str, str], object]) -> None:
    """Call `act` with the store's client, and the bucket and key of a file."""
    if not os.environ.get(BUCKET):
        return
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        _say_once("boto3 is not installed here, so nothing is copied to the store")
        return
    try:
        act(_client(), *_place(path))
    except (Boto3Error, BotoCoreError, ClientError, OSError, ValueError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if code not in ("404", "NoSuchKey"):
            print(f"{path}: {trouble} ({error})", flush=True)


@cache
def _say_once(sentence: str) -> None:
    print(sentence, flush=True)


def _place(path: Path) -> tuple[str, str]:
    """Bucket and key of a file: its place below the results, below the place of the bucket."""
    place = urlparse(os.environ[BUCKET])
    name = path.absolute().relative_to(Path(os.environ[RESULTS]).absolute())
    return place.netloc, f"{place.path.strip('/')}/{name.as_posix()}"


@cache
def _client() -> Any:
    """A client, which several threads may use, as they may not a resource of boto3."""
    import boto3

    return boto3.client("s3")
