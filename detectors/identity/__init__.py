"""What a dataset says of its assistant, sentence by sentence and over all rows."""
