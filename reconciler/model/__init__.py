"""The nouns, as frozen values: what is declared, what changes, what arrives, what is delivered."""
