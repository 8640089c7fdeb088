"""Why next-word prediction helps: every quantity of Saunshi, Malladi and Arora (2020) on languages known exactly."""
