"""Fake Slack over real HTTP: the Web API and an incoming webhook."""
