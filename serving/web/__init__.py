"""The page: the list of the week and every account, for a browser."""
