"""The pages of ``docs/reference``, written from the code: ``make reference``.

A page is a module with a function ``page`` that gives its text, and an entry in PAGES.
"""
