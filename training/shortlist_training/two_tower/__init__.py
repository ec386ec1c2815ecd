"""The two-tower model with mixed negative sampling (Yang et al. 2020): features, towers, sampling, training."""
