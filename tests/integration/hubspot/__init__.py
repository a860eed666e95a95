"""HubSpot: the target and the sender against the fake portal."""
