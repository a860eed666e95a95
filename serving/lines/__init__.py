"""The parts of one account's line on the list; :mod:`serving.score` puts them together."""
