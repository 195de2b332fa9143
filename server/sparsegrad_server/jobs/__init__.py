"""Jobs: the queue that is rows, and the worker that sums, solves, judges and publishes."""
