"""Web application: the weekly list and every account, in a browser."""
