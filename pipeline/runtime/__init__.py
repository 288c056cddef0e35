"""Runtime: stage entry points, gates, tracking, the SQL engine, progress, memory."""
