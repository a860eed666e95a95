"""Rules of thumb: sales tiers and team capacity."""
