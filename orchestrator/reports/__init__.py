"""How reports are written: pages, words in two languages, figures of speech; and the ping for a dead man's switch."""
