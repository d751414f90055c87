"""``forensic validate``: a preregistered suite, carried out on this machine through the program's own use cases."""
