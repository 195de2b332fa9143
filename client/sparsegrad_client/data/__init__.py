"""Data for calibration and training: tables, their columns, and batches of tokens."""
