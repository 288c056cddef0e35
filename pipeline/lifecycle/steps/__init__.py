"""The steps of repairs: edit params.yaml, roll back, restart."""
