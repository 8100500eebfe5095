"""The package that Lambda gets: built from locked wheels, the same bytes every time, and checked from its folder alone.

``python -m infra.package --help`` says what can be done. What builds needs the standard library and pip only, so that
a container image can build itself; what checks needs the development environment and the emulators.
"""
