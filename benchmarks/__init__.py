"""Measurements of the budgets that the README states. Never part of the tests."""
