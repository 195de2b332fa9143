"""What moves, for those who watch: looked at a few times a second at most, told when it changed.

`looks` has readers of one thing share a look, `rates` makes speeds and times left of several looks,
`streams` tells as server-sent events. What is looked at is in `calibrations` and `jobs`.
"""
