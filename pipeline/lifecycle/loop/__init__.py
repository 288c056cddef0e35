"""The loop: runs the cycle, applies a repair, measures again, and keeps or undoes it."""
