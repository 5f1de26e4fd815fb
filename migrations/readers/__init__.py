"""Those who ask a bot: with the pair that is live, or with the one its alias stands for."""
