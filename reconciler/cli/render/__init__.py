"""Values → text for people and JSON for programs, one module for each kind of value; nothing is computed here."""
