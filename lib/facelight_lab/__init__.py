"""The laboratory behind the book: experiments by subject, their records, tables and plots, and the command.

`experiments.run` measures, `results` keeps what was measured, `plot` draws it. An experiment called NAME is the module
`<subject>/NAME.py`. Nothing is imported here.
"""
