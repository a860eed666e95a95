"""Explanations: SHAP attributions rendered as reasons."""
