"""What an operator can see of the service: metrics, traces and logs, never content."""
