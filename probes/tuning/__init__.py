"""What head tuning and prompt tuning share: where mask and prompt stand, what is read there, how heads are trained."""
