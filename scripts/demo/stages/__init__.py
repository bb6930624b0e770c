"""The stages of training, in the order of the paper; see config.py for how long each takes."""
