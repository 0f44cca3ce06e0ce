"""The three commands. Each imports what a subcommand needs when it is run, so that help is instant.

Exit status: 0 done, 1 the answer is no, 2 wrong usage or input, 3 the daemon can't be reached.
"""
