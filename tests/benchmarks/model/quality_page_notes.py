"""Notes on method at the end of the quality page."""

NOTES = """\
## Method

- *Walk-forward validation*: every 180 days a model is trained on what was known then, calibrated on
  the matured predictions of earlier cutoffs, and evaluated on the as-ofs up to the next cutoff.
  Nothing is tuned on the evaluated data.
- *The best baseline* is the best in hindsight, which favours it.
- *True probability*: the simulator follows many futures of each account's state at the as-of; see
  `data/simulator/ground_truth.py`.
- *Oracle labels*: LightGBM with plain settings on the snapshots before each cutoff, with the true
  probability as the label, predicting only accounts it was not trained on. Its gap to the truth is
  missing from the columns; the model's further gap comes from having too few outcomes.
- *Oracle features*: utilization, growth, cool-down and all other state that the simulator's hazard
  depends on, exact, as further features of the model. The gap that remains cannot be closed by any
  feature: this number of outcomes teaches no more.
- *Served lists*: the list that each company would have been shown. Cutoffs without a model are left
  out and counted. Accounts and as-ofs of different companies are distinct; precision at capacity is
  the mean over companies and as-ofs.
- *Dates* are evaluated where the expansion came within 180 days and all 180 days are over, in whole
  days, as listed. *The best constant* is the median known at the cutoff. *Linear days-to-limit*
  extrapolates the growth of three months to the seat or usage limit. It is capped at 180 days,
  because the expansion is known to come by then, and is the constant where no limit is known.
- *One week*: one model is trained at the end of the data, one on the panel of a week before, with
  each as-of a week earlier. The expected date is a calendar date, so no change means that it
  neither recedes nor approaches. The readiness date is that of the list, which holds the date of
  the previous list (`serving/scoring/readiness_date.py`).
- *The cause* of an expansion is the pressure that produced it in the simulator; expansions by
  chance are left out. The reasons are those at the last as-of before it, at most 30 days earlier.
  `tests/benchmarks/model/oracle_probability.py` maps reason groups to pressures. *Chance* permutes
  the same explanations among the expanding accounts.
- *The generated matrix* holds normal numbers, a tenth of them missing. Our boosters are trained on
  a bootstrap of accounts.
- *Permuted outcomes*: whole contract histories are exchanged along one random cycle among the
  evaluated accounts and one among the others. They cluster by account and in time as before, and no
  account keeps its own; features stay. Two boosters and a refit every 24 months suffice to detect a
  leak. Skill over pairs of one as-of would be a leak; over all pairs, the trend over years may
  raise or lower it.
"""
