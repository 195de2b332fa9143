"""Looking after what is stored: `check` says what is wrong, `gc` frees what nothing names."""
