"""Every measure of the evaluations in one place, by the question that it answers.

- Held-out users, several items each (Liang et al. 2018): `per_user_metrics`, recall@k out of min(k, targets) and
  NDCG@k, after `top_rows` has ranked all items that are not the user's input. `evaluate_scores` does all of it.
- One held-out item per user (He et al. 2017): `hit_ratio` and `ndcg_of_one` at k of the item's place, 1 is best, among
  sampled negatives or among all items (`leave_one_out.ranks`).
- Candidate sets (Zhao et al. 2019): `hit_rates`, equation 3, and `coverage` of items and traffic, after `ranks_among`
  has found each wanted item's place, 0 is best, among its query's candidates.
- Queries after a cut in time (Yang et al. 2020): `recall_at` over {query, item} pairs, after `label_ranks`; the same
  for groups of items, `popularity_groups` and `deciles`.

All average over users or over their queries, and all intervals are bootstraps over users, who are the independent
units: `interval` of one value per user, `user_interval` and `mean_over_users` of several, `mean_over_runs` of several
trainings too. All take a seed.
"""

from shortlist_training.hit_rate import coverage, hit_rates, user_interval
from shortlist_training.hit_rate import ranks as ranks_among
from shortlist_training.leave_one_out import hits as hit_ratio
from shortlist_training.leave_one_out import ndcg as ndcg_of_one
from shortlist_training.metrics import (
    NDCG_AT,
    RECALL_AT,
    deciles,
    evaluate_scores,
    fold_in,
    interval,
    per_user_metrics,
    top_rows,
)
from shortlist_training.time_split import (
    label_ranks,
    mean_over_runs,
    mean_over_users,
    popularity_groups,
    recall_at,
    recall_by_group,
)

__all__ = [
    "NDCG_AT",
    "RECALL_AT",
    "coverage",
    "deciles",
    "evaluate_scores",
    "fold_in",
    "hit_rates",
    "hit_ratio",
    "interval",
    "label_ranks",
    "mean_over_runs",
    "mean_over_users",
    "ndcg_of_one",
    "per_user_metrics",
    "popularity_groups",
    "ranks_among",
    "recall_at",
    "recall_by_group",
    "top_rows",
    "user_interval",
]
