"""What should be true at a CRM, and the sender that makes it so."""
