"""The Interface: pages, a JSON API and consoles over the same operations as the command line. It decides nothing."""
