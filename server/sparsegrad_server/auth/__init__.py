"""Who may do what: tokens, their scopes, and the namespaces that they are for."""
