"""Stand-ins for the systems around a hospital, for demos, tests and onboarding."""
