"""SparseGrad inside other libraries: a module for each, imported by name when it is wanted."""
