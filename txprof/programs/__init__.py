"""Whole programs: `txprof run`.

The program is run by Python itself, in a process of its own, so that all is as without txprof:
`launch` starts it, hands signals on, waits, and reports. What watches it is put in before its first
line runs (`boot/`, `process`), and in its children (`children`); each process writes its own part
(`part`) to a folder, now and then and at its end.
"""
