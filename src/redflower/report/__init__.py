"""One self-contained HTML page per run."""

from redflower.products.page import write_page as write_page
