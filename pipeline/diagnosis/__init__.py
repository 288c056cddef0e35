"""Diagnosis: what is wrong with a fit, by evidence, and which phase can cure it."""
