"""Holds the systems against their papers: trains on public data, puts the paper's numbers beside ours, reports."""
