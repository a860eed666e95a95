"""HubSpot on this machine: what a portal holds, what its API takes and answers, over real HTTP."""
