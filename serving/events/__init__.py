"""Events as they happen: taken in, counted, and told where a CSM looks. See ``EVENTS.md``."""
