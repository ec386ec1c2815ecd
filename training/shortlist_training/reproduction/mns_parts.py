"""All parts of the MNS reproduction, on both data sets."""

from shortlist_training.reproduction import mns, mns_coverage, mns_movielens

PARTS = [*mns.PARTS, *mns_movielens.PARTS, *mns_coverage.PARTS]
