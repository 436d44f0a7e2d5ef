"""The chapters of a report, each a function from evaluations or from the table's rows to a section of a page."""
