"""Checkers for the exercises of the notebooks: they say what is wrong, not only that it is.

One module a notebook: `data`, `augmentation`, `shift`, `layers`, `training`, `inference`,
`paper_and_code`, `ablations`. A checker takes what the learner wrote, tries it on inputs whose
answers it computes in another way, prints one line, and returns whether all is right. Whatever the
learner's code does, a checker prints a sentence and never shows a traceback.
"""
