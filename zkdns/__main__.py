"""`python -m zkdns` is `zkdns`."""

from zkdns.cli import main

if __name__ == "__main__":
    main()
