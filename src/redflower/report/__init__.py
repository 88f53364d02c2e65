"""One self-contained HTML page per run."""

from redflower.report.page import write_page as write_page
