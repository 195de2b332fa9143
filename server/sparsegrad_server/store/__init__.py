"""Where tensors are kept: gradients and bases, each a contract with a local backend."""
