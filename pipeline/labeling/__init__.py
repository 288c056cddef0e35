"""Labelling: events become examples of what was wanted, audited and validated."""
