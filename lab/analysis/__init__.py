"""What recorded rows say together: which rows are shown, tables of checkpoints, correlation, published numbers."""
