"""What client and server say to one another: models, tensor frames, digests, references, errors."""
