"""Scoring: panel and model to ranked list; :mod:`serving.scoring.score` composes the parts."""
