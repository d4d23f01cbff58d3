"""Guard models behind a chat endpoint: one file a family, its prompt by its parser."""
