"""What is in the data: reading, embedding, detecting. No HTTP, no training."""
