"""What the data does to a model: trial fine-tune and measured drift. No HTTP."""
