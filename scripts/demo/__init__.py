"""Data set and training of the demo model that ships in models/demo."""
