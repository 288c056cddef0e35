"""Runtime: what every stage runs on: stages, gates, tracking, SQL, progress, memory."""
