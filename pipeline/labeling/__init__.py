"""Labeling: events become examples with the items bought next, audited and validated."""
