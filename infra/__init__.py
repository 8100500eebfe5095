"""Deployment: the templates, the package that they deploy, and the command that does it."""
