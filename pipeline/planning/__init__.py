"""Planning: objective, target, guardrails, viability and cost, before any model is trained."""
