"""What the figures of the page mean, in words."""

WORDS = """\
## How it is measured

- *Walk forward*: every 180 days a model is trained on what was known then, calibrated on the
  matured predictions of earlier cuts, and judged on the as-ofs up to the next cut. Nothing is
  tuned on what is judged here.
- *The best simple ranking* is the best in hindsight, which favours it.
- *True probability*: the simulator follows many futures of each account's state at the as-of; see
  `data/simulator/ground_truth.py`.
- *Told the true probabilities*: LightGBM with plain settings on the snapshots before each cut, with
  the true probability as the label, asked only about accounts it was not shown. What it lacks, the
  columns do not show; what the model lacks beside it, chance hides in too few outcomes.
- *The hidden state*: utilisation, growth, rest, and all else that the simulator's chances follow
  from, exact, among the features of the model as it is. What it lacks then, no feature can bring:
  so many outcomes teach no more.
- *Served lists*: what each company would have been shown, cuts without a model left out and
  counted. Accounts and as-ofs of different companies are different ones; precision at capacity is
  the mean over companies and as-ofs.
- *Dates* are judged where the expansion came within 180 days and the whole 180 days are over, in
  whole days, as listed. *The best constant* is the median of what the cut knew. *Linear
  days-to-limit* carries the growth of three months on to the seat or usage limit; it is cut off
  at 180 days, since the expansion is known to come by then, and is the constant where no limit is
  known.
- *A week*: one model trained at the end of the data, one on the panel as it stood a week before,
  each as-of of it a week earlier. The expected date is a calendar date, so no change means that
  it neither recedes nor approaches. The readiness date is that of the list, which keeps what the
  list before named (`serving/scoring/readiness_date.py`).
- *The cause* of an expansion is the pressure that the simulator says it came from; expansions by
  chance are left out. Asked are the sentences at the last as-of before it, at most 30 days
  earlier. Which signals tell which pressure stands in `tests/bench/model/known_truth.py`.
  *Chance* deals the same explanations to the other expanding accounts.
- *The made-up matrix* holds normal numbers, a tenth missing. A booster of ours is trained on a
  bootstrap of accounts.
- *Outcomes of other accounts*: contract histories are dealt whole, along one random cycle among the
  judged accounts and one among the others, so that they cluster by account and in time as before,
  and no account keeps its own; features stay. Two boosters and a refit every 24 months are enough
  to ask whether anything leaks. What is left over pairs of one as-of would be a leak; over all
  pairs, the trend of the years may help or harm.
"""
