"""The page for users says what the tests expect."""

from __future__ import annotations

from tests.applications.page import PAGE, table


def test_the_page_of_applications_has_the_verdicts_that_are_tested() -> None:
    assert table() in PAGE.read_text(), "python -m tests.applications.page writes it anew"
