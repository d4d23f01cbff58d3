"""The durable work: queues, workers, steps, recovery."""
