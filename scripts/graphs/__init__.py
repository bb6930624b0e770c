"""Scriptable definitions of the networks whose weight-free TorchScript archives ship in native/graphs."""
