"""Weekly digest per CSM, as text, HTML e-mail or Slack message."""
