"""How the canary was trained: one restartable command, see __main__."""
