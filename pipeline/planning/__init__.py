"""Planning: is it worth it? Objective, target, guardrails, viability and cost, before any work."""
