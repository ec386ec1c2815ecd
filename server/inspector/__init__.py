"""The inspector: a web page that shows what a server holds and why it answers what it does.

A process of its own below the master, and a client of the server like any other: it asks by gRPC, reads /metrics, and
maps the files of the bundle that is served. Nothing in here runs in a process that answers calls.

    browser → web (checks) → pages (the JSON API) ─┬─ client → the server, by gRPC
                                                   ├─ bundles → the served bundle's files
                                                   └─ live ← /metrics, every two seconds
"""
