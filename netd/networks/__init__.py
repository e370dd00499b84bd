"""Networks as files: a network is a CNI network list in the configuration directory.

`request`, `options`, `names`, `subnets`, `plan` and `conflist` decide and do no IO; `directory`, `usage` and `host`
read and write; `manage` puts them together.
"""
