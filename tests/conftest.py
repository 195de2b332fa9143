"""What any test may ask for: a database of PostgreSQL's, a bucket of an S3 endpoint."""

from support.object_storage import bucket, s3_endpoint
from support.postgres import postgres, postgres_url

__all__ = ["bucket", "postgres", "postgres_url", "s3_endpoint"]
