"""Real servers for tests, benchmarks and demonstrations: install one, start it on a free port, stop it.

One file per server. Everything comes with pinned hashes from Python wheels (`servers/wheels/`) and from Maven
(`servers/jars/`), PgBouncer from Debian's packages; it is unpacked once into `servers/.cache/`, listens on 127.0.0.1
only and dies with the process that started it. Programs that a machine may lack come the same way: Maven and a C++
compiler from Debian's packages, Go from a wheel, a Python out of a module of Go's. Never imported by `tailrace`.
"""
