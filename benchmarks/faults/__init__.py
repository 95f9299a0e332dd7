"""Faults, counted: kills, full disks, races, a read-only store, damaged files.

After each fault: is anything served that is wrong, does the next run finish, are its results those of an undisturbed
run? ``python -m benchmarks.faults`` does them all; each module does one kind.
"""
