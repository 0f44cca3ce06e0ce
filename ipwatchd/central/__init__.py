"""The collector: takes every site's incident events, once and in order, and hands out lists.

`intake` (pure) decides on a batch, `store` holds all SQL, `tokens` says which site is speaking,
`app` is the HTTP face, `serve` runs it. The command line is `ipwatchd.cli.central`.
"""
