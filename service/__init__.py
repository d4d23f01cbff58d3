"""What we tell the customer: gate, report, command line and HTTP."""
