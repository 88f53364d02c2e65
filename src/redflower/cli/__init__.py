"""The command line: parse, read, call `redflower.api`, write. Nothing is computed here."""

from redflower.cli.app import main as main
