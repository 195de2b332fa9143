"""The catalog: the database of calibrations, gradients, jobs, bases, aliases and tokens."""
