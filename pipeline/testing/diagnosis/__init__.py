"""Diagnosis: what is wrong with a fit, by evidence, and which phase can mend it."""
