"""Contracts: what crosses a stage boundary: params, schemas, artefacts, verdicts, errors."""
