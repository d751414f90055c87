"""``forensic calibrate``: a laboratory's own threshold of LOW, from its own pairs, registered before it is measured."""
