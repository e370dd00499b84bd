"""The embedded name server, a process of its own: `pynetd dns`.

    wire          bytes <-> questions and answers                    pure
    zone          who has which name and address, and who sees it    pure
    answers       a question in, what to do with it out              pure
    upstream      which servers to ask, and what silence costs       pure
    server ...    sockets, files, the loop

One CPU-bound thread in the same interpreter cuts the answers a second from 123 000 to 700 (evidence/stack 6), so
nothing else runs here.
"""
