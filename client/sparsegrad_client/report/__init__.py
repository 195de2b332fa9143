"""What is said of bases and of training: texts and tables."""
