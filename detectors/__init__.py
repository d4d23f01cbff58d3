"""What is in the data: reading, embedding, detecting. No HTTP, no training."""

import os

# Threads of torch that wait for one another spin for a millisecond by default, and
# beside other work on the same cores take the time that the others need: replies took
# six times as long, with so many turns twice (benchmark/LOG.md). Read when torch is
# first imported, which is after this.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
