"""Statistics of a trial: intervals, tests and power; knows no model and no probe."""
