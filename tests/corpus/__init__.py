"""Small realistic programs, each with a verdict: where its queries repeat, or that they do not.

The verdicts follow the definition of the rules and were written before any rule ran. A program is
a function in one of the topic files; `program` registers it, `runner` runs and compares it, and
`python tools/corpus.py` prints how often the rules agree.
"""
