"""Events become logs and metrics here, and only here."""
