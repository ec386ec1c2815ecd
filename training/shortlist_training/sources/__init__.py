"""The sources beside LED as they are served: what they share in training, export and evaluation."""
