"""Draws the clips that the demo model is trained on, and writes their captions."""
