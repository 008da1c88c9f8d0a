"""Why an answer is what it is: one room that the command line, the page and the API use."""
