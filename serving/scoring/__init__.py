"""The parts of one account's line on the list; :mod:`serving.scoring.score` puts them together."""
