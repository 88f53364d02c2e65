"""The command line: parse, read, call `redflower.api`, write. The demo alone works out figures of its own."""

from redflower.cli.app import main as main
