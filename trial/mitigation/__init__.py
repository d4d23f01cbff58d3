"""The same job with something done for safety, measured like the job itself."""
