"""PDN, the path-based deep network (Li et al. 2021): scores an item by all 2-hop paths that lead to it."""
