"""Diagnosis: a catalogue of causes, each with its own evidence and a check that undoes it."""
