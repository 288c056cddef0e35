"""Contracts: the types that stages share: params, schemas, artefacts, verdicts, errors."""
