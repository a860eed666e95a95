"""Settings: sections, defaults, and loading from TOML and the environment."""
