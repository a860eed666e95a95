"""Notifications: weekly digests per CSM and Slack messages."""
