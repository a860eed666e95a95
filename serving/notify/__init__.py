"""Notifications: the weekly digest and Slack messages."""
