"""Learned limits: requests wait for their turn rather than be refused."""
