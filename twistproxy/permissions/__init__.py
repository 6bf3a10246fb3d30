"""Who somebody is: users and their passwords, tokens and the keys that they are checked by."""
