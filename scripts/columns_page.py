"""Write the page of the documentation that lists all columns.

python -m scripts.columns_page
"""

from pathlib import Path

from redflower.products.columns import columns_page

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "columns.md"


def main() -> None:
    """Write it, from the schema in code."""
    PAGE.write_text(columns_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
