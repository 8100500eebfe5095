"""The product, deployed to an AWS on this machine: real files converted, and checked by readers not its own."""
