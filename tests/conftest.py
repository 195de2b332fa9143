"""What any test may ask for: a database of each kind, a bucket of an S3 endpoint."""

from support.catalogs import catalog, catalog_url
from support.object_storage import bucket, s3_endpoint
from support.postgres import postgres, postgres_url

__all__ = ["bucket", "catalog", "catalog_url", "postgres", "postgres_url", "s3_endpoint"]
