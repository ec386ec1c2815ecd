"""Shortlist, as its callers see it."""
