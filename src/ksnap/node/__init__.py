"""The server's side of an agent: the words of their wire (`protocol`) and the client that speaks them (`client`)."""
