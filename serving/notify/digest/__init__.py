"""What a CSM gets on Monday: whom to talk to first, as an e-mail or a message in Slack."""
