"""Pages for people: made on the server, complete in one answer, without scripts."""
