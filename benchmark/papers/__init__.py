"""Papers reproduced: one straight script each, their figures beside ours."""
